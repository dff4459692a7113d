"""Tiles through a backend: batched over images, checked, run again in fp32 where the result cannot be true.

Results come in the order of the tiles. A batch takes tiles of one shape, of as many images as it needs, so small
pictures fill a device too. Where a device has too little memory the batch is halved, and last the tile.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np

from nafnet.errors import BackendError, DeviceMemoryError, ImageError
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.runtime.engine.events import Item
from nafnet.runtime.engine.hands import Hands
from nafnet.wire import Batch, to_wire

Recompute = Callable[[Batch], Batch]
# A restored value may leave the range that the tile's input and [0, 1] span by this share of it. A deblurring model
# overshoots at edges by a few hundredths; what overflowed in half lies orders of magnitude outside.
OVERSHOOT = 0.5
DARK = 16 / 255
"""No brighter tile is restored to nothing but black."""
NOT_FINITE = "the image holds values that are not finite (NaN or infinity)"
# Images in a row that the backend may fail on before it is taken to be the backend that is broken.
MOST_FAILURES = 5


class Task(Protocol):
    """What is run: planes, and whose they are. They are written when there is memory that they are run from."""

    @property
    def item(self) -> Item:
        """Where errors and counts go; once it is no longer under way, the planes need not be run."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(G, c, h, w)."""

    @property
    def planes(self) -> Batch:
        """float32[G,c,h,w] in [0, 1]."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value of the planes, or what bounds them; NaN where one is not finite."""

    def write(self, out: Wired) -> None:
        """Write the planes as the model takes them."""


T = TypeVar("T", bound=Task)


class SmallerTileError(BackendError):
    """Not even one tile fits the device: what was begun must be begun anew with smaller ones."""


class _InFlightError(Exception):
    """The backend failed, and which of the batches in flight it failed on is not known."""


class TileRunner(Generic[T]):
    """Runs tasks on a backend.

    Args:
        backend: what runs them.
        batch: tiles to run at once; halved where the device runs out of memory.
        recompute: the same model in fp32, for tiles whose result cannot be true.
        hands: to write and check tiles.
        say: told, in a line, what was changed on the way.
    """

    def __init__(
        self, backend: Backend, batch: int, recompute: Recompute, hands: Hands, say: Callable[[str], None]
    ) -> None:
        self.backend, self.batch, self._recompute, self._hands, self._say = backend, batch, recompute, hands, say
        self._held: deque[T] = deque()
        self._flying: deque[list[T]] = deque()
        self._waited = 0.0  # for tiles, not for the backend
        self._failures = 0  # of the backend, one after the other
        self._recomputing = threading.Lock()  # its memory is that of one tile

    def run(self, tasks: Iterator[T]) -> Iterator[tuple[T, Wired]]:
        """Each task with its restored planes; tasks of images that failed are passed over.

        The planes are float32[G,c,h,w], or uint8[G,h,w,c] of a model with that border, and stand until the next.

        Raises:
            SmallerTileError: a single tile is too much for the device's memory.
            BackendError: the backend failed on one image after the other.
        """
        self._held.clear()
        self._flying.clear()
        suspects: list[T] = []
        while True:
            try:
                yield from self._one_by_one(suspects)
                yield from self._streamed(tasks)
                return
            except DeviceMemoryError as error:
                self._held.extendleft(reversed([*suspects, *itertools.chain.from_iterable(self._flying)]))
                suspects = []
                if self.batch == 1:
                    raise SmallerTileError(str(error)) from error
                self.batch = max(self.batch // 2, 1)
                self._say(f"{self.backend.description}: out of memory; going on with batches of {self.batch}")
            except _InFlightError as error:
                self._say(f"{error}; running the tiles one by one")
                suspects = list(itertools.chain.from_iterable(self._flying))
            self._flying.clear()

    def _one_by_one(self, suspects: list[T]) -> Iterator[tuple[T, Wired]]:
        """Run again, alone, what was in flight when the backend failed: one image's failure is its own."""
        while suspects:
            task = suspects[0]
            restored = None
            if task.item.under_way:
                try:
                    restored = self.backend.run(together([task], self._hands))
                    self._failures = 0
                except DeviceMemoryError:
                    raise
                except BackendError as error:
                    self._failures += 1
                    if self._failures == MOST_FAILURES:
                        raise
                    task.item.fail(error)
            suspects.pop(0)
            if restored is not None:
                yield from self._accepted([task], restored)

    def _streamed(self, tasks: Iterator[T]) -> Iterator[tuple[T, Wired]]:
        try:
            yield from self._until_failure(tasks)
        except DeviceMemoryError:
            raise
        except BackendError as error:
            if not self._flying:  # it takes nothing at all, as one that is closed
                raise
            raise _InFlightError(str(error)) from error

    def _until_failure(self, tasks: Iterator[T]) -> Iterator[tuple[T, Wired]]:
        started, self._waited = time.perf_counter(), 0.0
        for restored in self.backend.stream_pending(self._batches(tasks)):
            group = self._flying.popleft()
            self._failures = 0
            share = (time.perf_counter() - started - self._waited) / len(group)
            for task in group:
                task.item.infer_seconds += share
            yield from self._accepted(group, restored)
            started, self._waited = time.perf_counter(), 0.0

    def _batches(self, tasks: Iterator[T]) -> Iterator[Pending]:
        """Batches of one shape, from tasks that were given back first and then from new ones."""
        while True:
            asked = time.perf_counter()
            group = self._next_group(tasks)
            self._waited += time.perf_counter() - asked
            if not group:
                return
            self._flying.append(group)
            yield together(group, self._hands)

    def _next_group(self, tasks: Iterator[T]) -> list[T]:
        group: list[T] = []
        while len(group) < self.batch:
            if not self._held:
                task = next(tasks, None)
                if task is None:
                    break
                self._held.append(task)
            if group and self._held[0].shape != group[0].shape:
                break
            task = self._held.popleft()
            if task.item.under_way:
                group.append(task)
        return group

    def _accepted(self, group: list[T], restored: Wired) -> Iterator[tuple[T, Wired]]:
        """Each task with its part of a batch's checked result, unless its image has failed by now."""
        parts = len(restored) // len(group)
        pieces = self._hands.map(
            lambda index: self._checked(group[index], restored[index * parts : (index + 1) * parts]), range(len(group))
        )
        for task, piece in zip(group, pieces, strict=True):
            if piece is not None and task.item.under_way:
                yield task, piece

    def _checked(self, task: T, restored: Wired) -> Wired | None:
        """The restored planes, or those of a second run in fp32 where they cannot be true; the item counts it."""
        with task.item.guarded():
            made: Wired = restored if restored.dtype == np.uint8 else restored.astype(np.float32, copy=False)
            if not cannot_be_true(made, task.bounds):
                return made
            given = task.planes
            if made.dtype == np.uint8 and given.max() <= DARK:
                return made
            if not np.isfinite(given).all():
                raise ImageError(NOT_FINITE)
            with self._recomputing:
                again = self._recompute(given)
                task.item.recomputed += 1
            made = to_wire(again, "uint8") if made.dtype == np.uint8 else again
            if cannot_be_true(made, (-np.inf, np.inf)):
                raise BackendError(f"{self.backend.name}: the model's result is not finite, in fp32 either")
            return made
        return None


def together(group: Sequence[Task], hands: Hands) -> Pending:
    """Tasks of one shape as a batch, which so many hands write."""
    parts, *sizes = group[0].shape

    def write(out: Wired) -> None:
        hands.map(lambda index: group[index].write(out[index * parts : (index + 1) * parts]), range(len(group)))

    return Pending((parts * len(group), sizes[0], sizes[1], sizes[2]), write)


def cannot_be_true(restored: Wired, given: tuple[float, float]) -> bool:
    """Whether a result is not finite, or far outside the range of what it was made of; of bytes, whether it is all
    zeros, by which a graph says so."""
    if restored.dtype == np.uint8:
        return not restored.any()
    low, high = float(restored.min()), float(restored.max())  # NaN if any is
    if not (math.isfinite(low) and math.isfinite(high)):
        return True
    floor, ceiling = min(given[0], 0.0), max(given[1], 1.0)
    margin = OVERSHOOT * (ceiling - floor)
    return not (low >= floor - margin and high <= ceiling + margin)
