"""The operators of runs of a network, and their times: the fastest run, summed by level and kind."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

from nafnet.benchmarks.profile_result import OperatorTime
from nafnet.benchmarks.profiles.levels import KINDS, OUTSIDE, Levels, Place

WARM, RUNS = 2, 10
"""Runs that are not counted, and those that are."""
Taken = tuple[Place, float]
"""An operator, and its seconds in one run."""


def fastest(runs: Sequence[Sequence[Taken]]) -> Sequence[Taken]:
    """The run whose operators took the least time together: its figures add up, as minima of each operator would
    not."""
    return min(runs, key=lambda taken: sum(seconds for _, seconds in taken))


def by_level(taken: Iterable[Taken], levels: Levels) -> list[OperatorTime]:
    """Summed by level and kind, in the order of the levels, what is outside last."""
    seconds: collections.defaultdict[tuple[str, str], float] = collections.defaultdict(float)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for place, took in taken:
        key = levels.name(place), place.kind
        seconds[key] += took
        counts[key] += 1
    names = (*levels.names, OUTSIDE)
    ordered = sorted(seconds, key=lambda key: (names.index(key[0]), KINDS.index(key[1])))
    return [
        OperatorTime(level=level, operator=kind, seconds=seconds[level, kind], count=counts[level, kind])
        for level, kind in ordered
    ]
