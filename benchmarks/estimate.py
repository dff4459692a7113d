"""How long a run of the bench takes, from what one batch takes each row: said before it, and shown as it goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from nafnet.benchmarks.measure.whole_path import ROUNDS, tiles_of
from nafnet.benchmarks.profiles.measured import RUNS, WARM
from nafnet.benchmarks.timing import MIN_ROUNDS
from nafnet.steps import OnStep, unwatched

WARMUP = 5
"""Calls until a row is warm, as a rule."""
COMPARED = 4
"""Batches of a case that each row is compared on."""
YARDSTICKS = 0.2
"""Seconds of a round that they take, about."""
PROCESS = 4.0
"""Seconds until a new process has its libraries."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a row."""

    batch: float
    """Seconds of a batch of the first case."""
    load: float
    """Seconds to load it, and to prepare it for a shape."""
    restores: bool
    """Whether it restores pictures, and starts in a process of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """What is to be done."""

    cases: Sequence[float]
    """Pixels of each case's batch, in those of the first."""
    batch: int
    """Of the first case, in tiles."""
    seconds: float
    """Of the counted rounds of a case."""
    picture_tiles: float
    """Tiles of all pictures together, in pixels of a tile; 0 where none are restored."""
    tilings: int
    """How often the reference restores them once more."""
    photograph: bool
    cold: bool
    profiled: bool


def parts(rows: Sequence[Row], extent: Extent) -> dict[str, float]:
    """Seconds of each part of a group whose rows are loaded, the reference's first."""
    one_round = sum(row.batch for row in rows)
    found = {}
    for index, scale in enumerate(extent.cases):
        calls = WARMUP + (COMPARED if index else 0)
        loads = sum(row.load for row in rows) if index else 0.0
        counted = max(extent.seconds, MIN_ROUNDS * (scale * one_round + YARDSTICKS))
        found[f"case {index}"] = loads + calls * scale * one_round + counted
    tile = [row.batch / extent.batch for row in rows]
    restoring = [row for row in rows if row.restores]
    if extent.picture_tiles:
        times = sum(row.batch for row in restoring) + extent.tilings * rows[0].batch
        found["pictures"] = extent.picture_tiles * times / extent.batch
    if extent.photograph:
        file = tiles_of(tile[0], extent.batch) * sum(tile)
        found["photograph"] = file + max(extent.seconds, ROUNDS * file)
    return found


def parts_after(rows: Sequence[Row], extent: Extent) -> dict[str, float]:
    """Seconds of the parts that come when all groups are measured, of all rows."""
    found = {}
    if extent.cold:
        found["starts"] = sum(PROCESS + row.load + 2 * row.batch for row in rows if row.restores)
    if extent.profiled:
        found["profiles"] = sum(row.load + (WARM + RUNS) * row.batch for row in rows)
    return found


def in_groups(known: Sequence[Row], others: int, extent: Extent) -> dict[str, float]:
    """Seconds of all parts, by the group's number and the part's name, when the first group is loaded.

    Args:
        known: its rows, the reference's first.
        others: rows of later groups, which are taken for the mean of these, in groups as large.
    """
    count, size = len(known), max(len(known) - 1, 1)
    mean = Row(
        batch=sum(row.batch for row in known) / count, load=sum(row.load for row in known) / count, restores=True
    )
    found = {f"1: {name}": seconds for name, seconds in parts(known, extent).items()}
    later = dataclasses.replace(extent, tilings=0)
    for number, start in enumerate(range(0, others, size), 2):
        rows = [known[0], *[mean] * min(size, others - start)]
        own = parts(rows, later)
        own["case 0"] += sum(row.load for row in rows)
        found |= {f"{number}: {name}": seconds for name, seconds in own.items()}
    return {**found, **parts_after([*known, *[mean] * others], extent)}


def in_words(least: float, most: float | None = None) -> str:
    """`about 40 s`, `about 3 min`, `between 4 and 15 min`: no finer than an estimate is."""
    if most is None or _rounded(least) == _rounded(most):
        return f"about {_said(_rounded(least))}"
    low, high = _said(_rounded(least)), _said(_rounded(most))
    number, _, unit = low.partition(" ")
    return f"between {number if high.endswith(unit) else low} and {high}"


def _rounded(seconds: float) -> int:
    """Up: to 10 s below 90, to whole minutes below 10, to 5 min below 2 h, to whole hours beyond."""
    for below, step in ((90, 10), (600, 60), (7200, 300)):
        if seconds <= below:
            return max(step * math.ceil(seconds / step), step)
    return 3600 * math.ceil(seconds / 3600)


def _said(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


class Watch:
    """Says what is being done, and how much of the run is over, by the estimate.

    Args:
        on_step: told so; of the whole nothing before `expect`.
    """

    def __init__(self, on_step: OnStep = unwatched) -> None:
        self._on_step = on_step
        self._parts: dict[str, float] = {}
        self._over, self._part, self._to_come = 0.0, 0.0, 0.0

    def expect(self, parts: Mapping[str, float]) -> None:
        """From now on these are to come."""
        self._parts = dict(parts)
        self._over, self._part, self._to_come = 0.0, 0.0, sum(parts.values())

    def begin(self, part: str) -> None:
        """One of the parts, the one before being over."""
        self._over += self._part
        self._part = self._parts.pop(part, 0.0)

    def say(self, what: str, share: float = 0.0) -> None:
        """What is being done, and the share of its part that is over."""
        self._on_step(what, self._over + share * self._part, self._to_come)
