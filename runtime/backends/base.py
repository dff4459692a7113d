"""The contract of a backend: a context manager with one verb, float32[N,C,H,W] -> float32[N,C,H,W]."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nafnet.closing import Closing
from nafnet.errors import BackendError, DeviceMemoryError, ModelError, NafnetError, speaks_of_memory
from nafnet.files import file_sha256
from nafnet.parity import Precision
from nafnet.spec import ModelSpec
from nafnet.wire import Batch, from_wire, to_wire, wire_shape

Shape = tuple[int, ...]
Run = Callable[[NDArray[np.generic]], NDArray[np.generic]]
"""A batch as the model takes it, to one as it gives it: float32 or float16 [N,C,H,W], or uint8[N,H,W,C]."""

# Batches of one shape after which a backend is told to prepare for it. Preparing takes as long as some tens of
# tiles and saves about a tenth of each, so a single photograph is over before it would pay.
PREPARE_AFTER = 48


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model ready for a backend."""

    path: Path
    """An ONNX file, a checkpoint or a plan, as the backend reads."""
    spec: ModelSpec
    source: Path | None = None
    """The file that the user named, where `path` was made of it."""

    @property
    def name(self) -> str:
        """Of the file that the user named."""
        return (self.source or self.path).name

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return file_sha256(self.path)


def is_memory_error(error: Exception) -> bool:
    """Whether a library's error says that memory, the device's or the host's, did not suffice."""
    return isinstance(error, MemoryError) or speaks_of_memory(f"{type(error).__name__} {error}")


def as_ours(error: Exception, kind: type[NafnetError], doing: str) -> NafnetError:
    """A library's error as one of ours: of `kind`, or DeviceMemoryError."""
    kind = DeviceMemoryError if is_memory_error(error) else kind
    return kind(f"{doing} failed ({str(error) or type(error).__name__})")


def _closed(batch: NDArray[np.generic]) -> NDArray[np.generic]:
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
    """Batches that `stream` has at work at the same time; of more than one, `_run` must bear several threads."""
    reduced_to: ClassVar[Precision | None] = None
    """What it computes in, where that is less than the model's own precision."""
    gains_from_fixed_shapes: ClassVar[bool] = True
    """Whether `_load` makes something faster of a known shape."""

    def __init__(self, model: Model, threads: int | None, device: str = "cpu") -> None:
        self.model = model
        self.prepares_itself = self.gains_from_fixed_shapes
        """Whether a shape that repeats is prepared for; whoever compares forms of a model turns it off."""
        self.device = device
        self.threads = threads
        self._told: dict[str, None] = {}
        self._say: Callable[[str], None] = lambda _: None
        self._calls: dict[Shape, int] = {}
        self._any_shape: Run = _closed
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
        """Load the model once more, specialised for batches of exactly [N,C,H,W]; other shapes still run."""
        if self.gains_from_fixed_shapes:
            self._prepared = (shape, self._load(wire_shape(shape, self.model.spec.io)))

    def _run(self, batch: Batch) -> Batch:
        self._calls[batch.shape] = calls = self._calls.get(batch.shape, 0) + 1
        if calls == PREPARE_AFTER and self.prepares_itself:
            self._prepare_if_same(batch)
        run = self._any_shape
        if self._prepared is not None and self._prepared[0] == batch.shape:
            run = self._prepared[1]
        return self._on_wire(run, batch)

    def _prepare_if_same(self, batch: Batch) -> None:
        """Prepare for a shape that repeats, if that changes no bit: a photograph's result must not hang on how many
        were restored before it."""
        before, self._prepared = self._prepared, None
        try:
            self.prepare(batch.shape)
        except Exception:  # there is no memory for a second copy, for one: it goes on without
            self._prepared = before
            return
        assert self._prepared is not None
        if not np.array_equal(self._on_wire(self._prepared[1], batch), self._on_wire(self._any_shape, batch)):
            self._prepared = before

    def _on_wire(self, run: Run, batch: Batch) -> Batch:
        wire = self.model.spec.io
        return from_wire(run(np.ascontiguousarray(to_wire(batch, wire))), wire)

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
        self.check_given(batch)
        with self.translated():
            restored = self._run(batch)
        self.check_restored(restored, batch)
        return restored

    def stream(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Restore batches one after the other, in their order; errors are those of a single call.

        The next batch is taken, and the one before it used, while one is computed: a CPU's cores have nothing to do
        while a single one cuts and blends tiles.
        """
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="infer") as pool:
            flying: deque[Future[Batch]] = deque()
            for batch in batches:
                flying.append(pool.submit(self, batch))
                if len(flying) > self.at_once:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()

    def check_given(self, batch: Batch) -> None:
        """Raise BackendError unless the batch is what `__call__` takes."""
        spec = self.model.spec
        if batch.ndim != 4 or batch.dtype != np.float32 or batch.shape[1] != spec.channels:
            raise BackendError(
                f"{self.name}: got {batch.dtype}{list(batch.shape)}, expected float32[N,{spec.channels},H,W]"
            )
        if batch.shape[2] % spec.multiple or batch.shape[3] % spec.multiple:
            raise BackendError(
                f"{self.name}: got {batch.shape[2]}x{batch.shape[3]} pixels, expected multiples of {spec.multiple}"
            )

    def check_restored(self, restored: Batch, batch: Batch) -> None:
        """Raise BackendError unless the result has the shape of what it was made of."""
        if restored.shape != batch.shape:
            raise BackendError(f"{self.name}: {self.model.name} gave {list(restored.shape)} for {list(batch.shape)}")

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
        self._any_shape = _closed
        self._prepared = None
