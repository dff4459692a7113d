"""Time several functions against each other on a machine whose speed drifts."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of each counted call of one function."""

    seconds: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """What the machine can do when nothing disturbs it."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def alternate(functions: Sequence[Callable[[], object]], *, rounds: int, warmup: int = 2) -> list[Timing]:
    """Call each function once a round, in turn, so that all of them see the same drift.

    Args:
        rounds: counted calls of each.
        warmup: calls of each before, not counted: caches fill, libraries settle on their kernels.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for number in range(warmup + rounds):
        for index, function in enumerate(functions):
            started = time.perf_counter()
            function()
            elapsed = time.perf_counter() - started
            if number >= warmup:
                seconds[index].append(elapsed)
    return [Timing(seconds=tuple(values)) for values in seconds]
