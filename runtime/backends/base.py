"""The contract of a backend: a context manager with one verb, float32[N,C,H,W] -> float32[N,C,H,W]."""

from __future__ import annotations

import abc
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar

import numpy as np

from nafnet.closing import Closing
from nafnet.errors import BackendError, DeviceMemoryError, HostMemoryError, ModelError, NafnetError, speaks_of_memory
from nafnet.parity import Precision
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.wire import Batch, from_wire, wire_shape

Shape = tuple[int, ...]
Run = Callable[[Wired], Wired]
"""A batch as the model takes it, to one as it gives it."""

# Batches of one shape after which a backend is told to prepare for it. Preparing takes as long as some tens of
# tiles and saves about a tenth of each, so a single photograph is over before it would pay.
PREPARE_AFTER = 48


def is_memory_error(error: Exception) -> bool:
    """Whether a library's error says that memory, the device's or the host's, did not suffice."""
    return isinstance(error, MemoryError) or speaks_of_memory(f"{type(error).__name__} {error}")


def as_ours(error: Exception, kind: type[NafnetError], doing: str, remedy: str = "") -> NafnetError:
    """A library's error as one of ours: of `kind`, or DeviceMemoryError; with what helps, where that is known."""
    if isinstance(error, MemoryError):
        return HostMemoryError.of(error, doing)
    kind = DeviceMemoryError if is_memory_error(error) else kind
    helps = f"; {remedy}" if remedy else ""
    return kind(f"{doing} failed ({str(error) or type(error).__name__}){helps}")


def closed(batch: Wired) -> Wired:
    """What runs batches once there is nothing to run them with."""
    raise BackendError(f"closed; it takes no batch of {list(batch.shape)} any more")


class Backend(Closing):
    """Runs one model on one device.

    A subclass implements `_load`; names, shapes and dtypes are checked here, once for all.

    Args:
        model: what to run.
        threads: CPU threads, or None for the library's choice.
        device: what it runs on, as cpu or cuda:0.
    """

    name: str
    default_batch: int = 1
    """Tiles to run at once where nobody said; 1 is fastest on a CPU, whose caches a batch overflows."""
    at_once: int = 1
    """Batches that a stream has at work at the same time; of more than one, `_run` must bear several threads."""
    reduced_to: ClassVar[Precision | None] = None
    """What it computes in, where that is less than the model's own precision."""
    gains_from_fixed_shapes: ClassVar[bool] = True
    """Whether `_load` makes something faster of a known shape."""
    ungated: ClassVar[bool] = False
    """Whether no gate ever runs on its device: then each load compares it, and half has to have been verified."""
    beside_cpu: bool = False
    """Whether a device computes, so that the CPU's cores are free meanwhile; it prepares for each shape that it meets,
    so tiles are best of one shape."""

    def __init__(self, model: Model, threads: int | None, device: str = "cpu") -> None:
        self.model = model
        self.prepares_itself = self.gains_from_fixed_shapes
        """Whether a shape that repeats is prepared for; whoever compares forms of a model turns it off."""
        self.device = device
        self.threads = threads
        self._told: dict[str, None] = {}
        self._say: Callable[[str], None] = lambda _: None
        self._calls: dict[Shape, int] = {}
        self._any_shape: Run = closed
        self._prepared: tuple[Shape, Run] | None = None
        try:
            with self.translated("loading", ModelError):
                self._any_shape = self._load(None)
        except BaseException:  # what was loaded before is given back; the first error is the one that is told
            with contextlib.suppress(Exception):
                self.close()
            raise

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """Library, version and device, in a few words."""

    def tell(self, line: str) -> None:
        """Say once, to whoever listens now or will, what does not go as it could."""
        if line not in self._told:
            self._told[line] = None
            self._say(line)

    def listen(self, say: Callable[[str], None]) -> None:
        """Hear what was told, and what will be."""
        self._say = say
        for line in self._told:
            say(line)

    @property
    def parts(self) -> Sequence[Backend]:
        """One for each device."""
        return (self,)

    @abc.abstractmethod
    def _load(self, shape: Shape | None) -> Run:
        """Load the model for batches of any shape, or of `shape` alone; returns what runs a contiguous batch.

        Shapes and batches are those of the model's own border, see `ModelSpec.io`.

        Raises:
            NafnetError: the library cannot load it.
        """

    def prepare(self, shape: Shape) -> None:
        """Load the model once more, specialised for batches of exactly [N,C,H,W]; other shapes still run. Nothing is
        done where it is prepared for them."""
        wanted = wire_shape(shape, self.model.spec.io)
        if self.gains_from_fixed_shapes and (self._prepared is None or self._prepared[0] != wanted):
            self._prepare(wanted)

    def forget_other_shapes(self) -> None:
        """Free the model as it is loaded for any shape, where it is prepared for one; a batch of another shape has it
        loaded anew. Without it a prepared backend holds the model twice."""
        if self._prepared is None:
            return

        def anew(given: Wired) -> Wired:
            self._any_shape = self._load(None)
            return self._any_shape(given)

        self._any_shape = anew

    def _prepare(self, shape: Shape) -> None:
        self._prepared = (shape, self._load(shape))

    def _run(self, given: Wired) -> Wired:
        self._calls[given.shape] = calls = self._calls.get(given.shape, 0) + 1
        if calls == PREPARE_AFTER and self.prepares_itself:
            self._prepare_if_same(given)
        if self._prepared is not None and self._prepared[0] == given.shape:
            return self._prepared[1](given)
        return self._any_shape(given)

    def _prepare_if_same(self, given: Wired) -> None:
        """Prepare for a shape that repeats, if that changes no bit: a photograph's result must not hang on how many
        were restored before it."""
        before, self._prepared = self._prepared, None
        try:
            self._prepare(given.shape)
        except Exception:  # there is no memory for a second copy, for one: it goes on without
            self._prepared = before
            return
        assert self._prepared is not None
        if not np.array_equal(self._prepared[1](given), self._any_shape(given)):
            self._prepared = before

    def __call__(self, batch: Batch) -> Batch:
        """Restore a batch of tiles.

        Args:
            batch: float32[N,C,H,W] in [0, 1], RGB; H and W multiples of `spec.multiple`.

        Returns:
            float32 of the same shape, not clipped.

        Raises:
            DeviceMemoryError: the batch is too much for the device's memory.
            BackendError: the library failed, or gave back another shape.
        """
        if batch.ndim != 4 or batch.dtype != np.float32:
            raise BackendError(
                f"{self.name}: got {batch.dtype}{list(batch.shape)}, expected float32[N,{self.model.spec.channels},H,W]"
            )
        wire = self.model.spec.io
        return from_wire(self.run(Pending.of(batch, wire)), wire)

    def run(self, pending: Pending) -> Wired:
        """Restore one batch; the result is as the model gives it, and the caller's to keep. Errors as above."""
        return self._run_written(self._written(pending), pending)

    def stream_pending(self, batches: Iterator[Pending]) -> Iterator[Wired]:
        """Restore batches one after the other, in their order; errors are those of a single call.

        A result is as the model gives it, and stands until the next one is asked for: it may lie where the device
        writes. The next batch is taken, and the one before it used, while one is computed: a CPU's cores have nothing
        to do while a single one cuts and blends tiles.
        """
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="infer") as pool:
            flying: deque[Future[Wired]] = deque()
            for pending in batches:
                flying.append(pool.submit(self._run_written, self._written(pending), pending))
                if len(flying) > self.at_once:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()

    def _written(self, pending: Pending) -> Wired:
        self.check_given(pending)
        with self.translated():
            return pending.written(self.model.spec.io)

    def _run_written(self, given: Wired, pending: Pending) -> Wired:
        with self.translated():
            restored = self._run(given)
        self.check_restored(restored, pending)
        return restored

    def check_given(self, pending: Pending) -> None:
        """Raise BackendError unless the batch is what the model takes."""
        spec = self.model.spec
        _, channels, height, width = pending.shape
        if channels != spec.channels:
            raise BackendError(f"{self.name}: got {channels} channels, expected float32[N,{spec.channels},H,W]")
        if height % spec.multiple or width % spec.multiple:
            raise BackendError(f"{self.name}: got {height}x{width} pixels, expected multiples of {spec.multiple}")

    def check_restored(self, restored: Wired, pending: Pending) -> None:
        """Raise BackendError unless the result has the shape of what it was made of."""
        given = wire_shape(pending.shape, self.model.spec.io)
        if restored.shape != given:
            raise BackendError(f"{self.name}: {self.model.name} gave {list(restored.shape)} for {list(given)}")

    @contextlib.contextmanager
    def translated(self, doing: str = "running", kind: type[NafnetError] = BackendError) -> Iterator[None]:
        """Make a library's errors ours: of `kind`, or DeviceMemoryError."""
        try:
            yield
        except NafnetError:
            raise
        except Exception as error:  # each library has its own family of errors
            raise as_ours(error, kind, f"{self.name}: {doing} {self.model.name}") from error

    def close(self) -> None:
        """Free the model's memory; the backend cannot be called any more."""
        self._any_shape = closed
        self._prepared = None
