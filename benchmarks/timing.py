"""Time several functions against each other on a machine whose speed drifts.

A shared machine changes its speed by tens of percent within seconds. So every function is called once a round, in
turn, and what is compared are minima: what the machine does when nothing disturbs it.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

STEADY = 0.05
"""The most by which the minima of the first and second half of the rounds may differ in a steady measurement."""
WARM = 0.05
"""Warm: the last call is no more than this faster than the fastest before it."""
MAX_WARMUP = 12
MIN_ROUNDS, MAX_ROUNDS = 6, 1000
EXTENSION = 8
"""Times the seconds asked for, that rounds may go on for where somebody wants more of them."""
Rounds = Mapping[str, Sequence[float]]
"""Seconds of each round, by the name of what was called."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of each counted call of one function, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """What the machine can do when nothing disturbs it."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def percentile(self, percent: float) -> float:
        """Linear between the two nearest calls, as NumPy's default."""
        ordered = sorted(self.seconds)
        position = (len(ordered) - 1) * percent / 100
        below = int(position)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (position - below) * (ordered[above] - ordered[below])

    @property
    def spread(self) -> float:
        """Distance of the quartiles over the median."""
        return (self.percentile(75) - self.percentile(25)) / self.median

    @property
    def halves(self) -> tuple[float, float]:
        """Minima of the first and of the second half of the rounds."""
        middle = max(len(self.seconds) // 2, 1)
        return min(self.seconds[:middle]), min(self.seconds[middle:] or self.seconds)

    @property
    def steady(self) -> bool:
        """Whether both halves of the rounds reached about the same minimum, see `STEADY`."""
        low, high = sorted(self.halves)
        return high <= low * (1 + STEADY)


def alternate(
    functions: Sequence[Callable[[], object]],
    *,
    seconds: float,
    min_rounds: int = MIN_ROUNDS,
    max_rounds: int = MAX_ROUNDS,
    warm: bool = True,
    on_warm: Callable[[int], None] = lambda _: None,
    on_round: Callable[[float], None] = lambda _: None,
    go_on: Callable[[Sequence[Sequence[float]]], bool] = lambda _: False,
) -> list[Timing]:
    """Warm each function up, then call each once a round, in turn, so that all of them see the same drift.

    Each round has an order of its own, drawn by a fixed seed: what a function leaves in the caches, or its threads that
    still spin, is not always the same one's to bear.

    Args:
        seconds: that the counted rounds may take; `min_rounds` are made all the same.
        warm: whether to warm up at all.
        on_warm: told the place of each function before it is warmed up.
        on_round: told the share that is over, after each round: of the time, or of the fewest rounds where these take
            longer.
        go_on: asked after each round that ends past the time, with the seconds of each function so far, whether more
            are wanted; up to `EXTENSION` times the time.
    """
    for index, function in enumerate(functions if warm else ()):
        on_warm(index)
        warm_up(function)
    taken: list[list[float]] = [[] for _ in functions]
    draw = random.Random(0)
    started, rounds = time.perf_counter(), 0

    def wanted() -> bool:
        over = time.perf_counter() - started
        return over < seconds or (over < EXTENSION * seconds and go_on(taken))

    while rounds < min_rounds or (rounds < max_rounds and wanted()):
        for index in draw.sample(range(len(functions)), len(functions)):
            taken[index].append(timed(functions[index]))
        rounds += 1
        over = (time.perf_counter() - started) / seconds if seconds else 1.0
        on_round(min(over, rounds / min_rounds if min_rounds else 1.0, 1.0))
    return [Timing(seconds=tuple(values)) for values in taken]


def warm_up(function: Callable[[], object]) -> None:
    """Call until twice in a row it gets no faster, see `WARM`: caches fill, libraries compile and settle on kernels."""
    fastest, calm = timed(function), 0
    for _ in range(MAX_WARMUP - 1):
        took = timed(function)
        calm = calm + 1 if took >= fastest * (1 - WARM) else 0
        fastest = min(fastest, took)
        if calm == 2:
            return


def timed(function: Callable[[], object]) -> float:
    """Seconds of one call, to a tenth of a microsecond: finer is no clock, and all figures are of what is written."""
    started = time.perf_counter()
    function()
    return max(round(time.perf_counter() - started, 7), 1e-7)
