"""Devices that work beside the CPU: batches in flight on several lanes, so that copies hide behind compute.

A lane has its own stream and its own buffers. While one lane computes, the batch before it is copied back and blended
and the next one is cut and copied over.
"""

from __future__ import annotations

import abc
import contextlib
import itertools
import queue
import threading
from collections import deque
from collections.abc import Iterator

from nafnet.errors import BackendError
from nafnet.runtime.backends.base import Backend, Run, Shape, closed
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending, Wired

LANES = 2
CLOSED = "closed; it takes no batch any more"


class Lane(abc.ABC):
    """One batch on its way through the device."""

    @abc.abstractmethod
    def start(self, pending: Pending) -> None:
        """Begin with a batch, written to where the device copies from, and return without waiting."""

    @abc.abstractmethod
    def finish(self) -> Wired:
        """Wait for what was started; the result stands until the next start."""

    def close(self) -> None:  # noqa: B027, most have nothing of their own
        """Free buffers and streams."""


class LaneBackend(Backend):
    """A backend whose batches run on lanes. A subclass makes them."""

    gains_from_fixed_shapes = False
    default_batch = 8
    beside_cpu = True

    @abc.abstractmethod
    def make_lanes(self, count: int) -> list[Lane]:
        """Load the model, with so many lanes into it.

        Raises:
            NafnetError: the library cannot load it.
        """

    def _load(self, shape: Shape | None) -> Run:
        assert shape is None, "lanes prepare themselves for the shapes they meet"
        self._lanes: list[Lane] = []
        self._lanes = self.make_lanes(LANES)
        return closed  # batches go by `run`, and are written where their lane says

    def run(self, pending: Pending) -> Wired:
        """As any, on one lane."""
        self.check_given(pending)
        with self.translated():
            lane = self._open_lanes()[0]
            lane.start(pending)
            restored = lane.finish().copy()
        self.check_restored(restored, pending)
        return restored

    def _open_lanes(self) -> list[Lane]:
        if not self._lanes:
            raise BackendError(CLOSED)
        return self._lanes

    def stream_pending(self, batches: Iterator[Pending]) -> Iterator[Wired]:
        """As any, as many batches at once as there are lanes."""
        lanes = self._open_lanes()
        flying: deque[tuple[Lane, Pending]] = deque()
        try:
            for lane, pending in zip(itertools.cycle(lanes), batches, strict=False):
                if self._lanes is not lanes:
                    raise BackendError(CLOSED)
                self.check_given(pending)
                with self.translated():
                    lane.start(pending)
                flying.append((lane, pending))
                if len(flying) == len(lanes):  # the first of them is the next one's
                    yield self._finish_first(flying)
            while flying:
                yield self._finish_first(flying)
        finally:
            # After an error: what was started must not be written over. Of lanes that are closed nothing is left.
            for lane, _ in flying if self._lanes is lanes else ():
                try:
                    lane.finish()
                except Exception:  # the first error is the one that is told
                    continue

    def _finish_first(self, flying: deque[tuple[Lane, Pending]]) -> Wired:
        lane, pending = flying[0]
        try:
            with self.translated():
                restored = lane.finish()
        finally:
            flying.popleft()
        self.check_restored(restored, pending)
        return restored

    def close(self) -> None:
        super().close()
        with contextlib.ExitStack() as stack:  # each is closed, whatever another raises
            lanes, self._lanes = self._lanes, []
            for lane in lanes:
                stack.callback(lane.close)


class SeveralDevices(Backend):
    """One model on several devices of a kind: batches go to them in turn, results come in order."""

    gains_from_fixed_shapes = False

    def __init__(self, backends: list[Backend]) -> None:
        first = backends[0]
        self._backends = backends
        self.name = first.name
        self.default_batch, self.beside_cpu = first.default_batch, first.beside_cpu
        super().__init__(first.model, first.threads, ",".join(backend.device for backend in backends))

    @property
    def description(self) -> str:
        return f"{self._backends[0].description} and {len(self._backends) - 1} more"

    @property
    def parts(self) -> list[Backend]:
        return self._backends

    @property
    def model(self) -> Model:
        return self._backends[0].model

    @model.setter
    def model(self, model: Model) -> None:
        assert model is self._backends[0].model

    def _load(self, shape: Shape | None) -> Run:
        del shape
        return closed

    def run(self, pending: Pending) -> Wired:
        """As any, on the first device."""
        return self._backends[0].run(pending)

    def stream_pending(self, batches: Iterator[Pending]) -> Iterator[Wired]:
        """As any; each device has as many batches at work as its lanes take, and one waiting."""
        feeds = [_Feed(backend) for backend in self._backends]
        taken = given = 0
        try:
            for batch in batches:
                feeds[taken % len(feeds)].put(batch)
                taken += 1
                if taken - given == (LANES + 1) * len(feeds):
                    yield feeds[given % len(feeds)].get()
                    given += 1
            for feed in feeds:
                feed.put(None)
            while given < taken:
                yield feeds[given % len(feeds)].get()
                given += 1
        finally:
            for feed in feeds:
                feed.stop()

    def close(self) -> None:
        super().close()
        with contextlib.ExitStack() as stack:
            for backend in self._backends:
                stack.callback(backend.close)


class _Feed:
    """One device's stream, run by a thread of its own: batches in, results or an error out."""

    def __init__(self, backend: Backend) -> None:
        self._batches: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Wired | Exception] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, args=(backend,), name=f"infer-{backend.device}")
        self._thread.start()

    def put(self, batch: Pending | None) -> None:
        """The next batch; None after the last."""
        self._batches.put(batch)

    def get(self) -> Wired:
        """The next result; raises the device's error."""
        result = self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        """Let go of what waits, and wait for what is at work."""
        self._stopped = True
        self._batches.put(None)
        self._thread.join()

    def _given(self) -> Iterator[Pending]:
        while (batch := self._batches.get()) is not None and not self._stopped:
            yield batch

    def _run(self, backend: Backend) -> None:
        try:
            for restored in backend.stream_pending(self._given()):
                with backend.translated():
                    copied = restored.copy()  # the lane goes on while it waits here
                self._results.put(copied)
        except Exception as error:  # it is raised where the result is asked for
            self._results.put(error)
