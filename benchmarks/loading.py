"""The rows of a bench, loaded: as many at a time as fit into memory, the most wanted first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import psutil

from nafnet.allocator import give_back
from nafnet.benchmarks.measure.case import Opened, Shape
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import COMPILED, REFERENCE
from nafnet.benchmarks.rows.variants import NAIVE, NAIVE_FIXED
from nafnet.benchmarks.timing import timed
from nafnet.errors import NafnetError

RESERVE = 700e6
"""Bytes for what is measured beside the rows: yardsticks, pictures, files."""
HELD = 3.5
"""Times its weights that a row holds before it is known better: as they are, as a library packs them, and results."""


class Room:
    """Memory of this process that rows may take.

    Args:
        limit: bytes of the process.
        weights: bytes of the network's.
    """

    def __init__(self, limit: float, weights: int) -> None:
        self._limit, self._most = limit, HELD * weights

    def has(self) -> bool:
        """Whether one more row fits, as the largest so far."""
        return _resident() + self._most + RESERVE <= self._limit

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Learn what a row takes that is loaded meanwhile."""
        before = _resident()
        yield
        self._most = max(self._most, _resident() - before)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def by_need(chosen: Sequence[Candidate]) -> list[Candidate]:
    """The reference first; then what users run, what it is compared with, and last what tells why."""

    def rank(row: Candidate) -> int:
        if row.name == REFERENCE:
            return 0
        if row.name.endswith(NAIVE_FIXED):
            return 4
        if row.name.endswith(NAIVE):
            return 2
        return {"torch": 2, COMPILED: 3}.get(row.backend, 1)

    return sorted(chosen, key=rank)


def open_group(
    chosen: Sequence[Candidate], shape: Shape, threads: int, stack: contextlib.ExitStack, room: Room,
    on_row: Callable[[str], None],
) -> list[Opened]:  # fmt: skip
    """As many of the rows as there is room for, in their order and two at least, each run twice: what a row takes is
    known after that.

    Args:
        shape: of the first case, for which they are prepared.
        on_row: told the name of each.
    """
    opened: list[Opened] = []
    for candidate in chosen:
        if len(opened) >= 2 and not room.has():
            break
        on_row(f"loading {candidate.name}")
        with room.watched():
            each = open_one(candidate, threads, stack)
            run_twice(each, shape)
            give_back()  # a checkpoint is read into three times its size
        opened.append(each)
    return opened


def run_twice(each: Opened, shape: Shape) -> None:
    """Prepare a row for a shape and run it, to know what it takes; one that fails is told so when it is compared."""
    if each.backend is None:
        return
    started = time.perf_counter()
    with contextlib.suppress(NafnetError):
        if each.candidate.prepared:
            each.backend.prepare(shape.sizes)
            each.backend.forget_other_shapes()
        tile = np.full(shape.sizes, 0.5, np.float32)
        each.backend(tile)
        each.prepare_seconds = time.perf_counter() - started
        each.batch_seconds = timed(lambda: each.backend and each.backend(tile))


def open_one(candidate: Candidate, threads: int, stack: contextlib.ExitStack) -> Opened:
    """A candidate, loaded until the stack closes, or with the reason why it could not be."""
    started = time.perf_counter()
    try:
        backend = stack.enter_context(candidate.open(threads))
    except NafnetError as error:
        return Opened(candidate=candidate, refused=str(error))
    except Exception as error:  # each library has its own family of errors, and the others are to be measured
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Opened(candidate=candidate, refused=f"cannot be loaded ({said})")
    backend.prepares_itself = False  # a row is one form of the model from its first call to its last
    return Opened(candidate=candidate, backend=backend, load_seconds=time.perf_counter() - started)
