"""A result against an earlier one: which backends have become slower, by more than the machine's noise.

The rule. A machine may be faster or slower as a whole than it was, so each row's minimum is first divided by the
machine's own change: the median, over all rows and yardsticks that both results have, of new minimum over old. Then a
row has regressed if its minimum is more than `TOLERANCE` above the old one, and so are both halves of the new rounds
above both halves of the old: each half is a measurement of its own, so one disturbance cannot decide.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path

from nafnet.benchmarks.results_file import CaseResult, Result, Speed
from nafnet.benchmarks.tables import Sheet
from nafnet.benchmarks.timing import Timing

from nafnet.errors import UsageError

TOLERANCE = 0.10
FEWEST = 3
"""Rows and yardsticks in common, below which the machine's own change cannot be told from a row's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One row, now and then."""

    model: str
    case: str
    name: str
    before: float
    after: float
    machine: float
    """The machine's own change."""
    regressed: bool

    @property
    def ratio(self) -> float:
        """New minimum over old, the machine's own change taken off."""
        return self.after / self.before / self.machine


def compare_results(old: Result, new: Result, old_path: Path) -> list[Change]:
    """Every row that both have.

    Raises:
        UsageError: they have nothing, or too little, in common, or the old one is malformed.
    """
    try:
        changes = list(_changes(old, new))
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UsageError(f"{old_path}: not a whole result of nafnet-bench ({error!r}): measure anew") from error
    if not changes:
        raise UsageError(f"--baseline {old_path}: has no model, tile, batch and backend in common with this run")
    return changes


def _changes(old: Result, new: Result) -> Iterator[Change]:
    before = {
        (model["weights_sha256"], case["tile"], case["batch"]): case
        for model in old["models"]
        for case in model["cases"]
    }
    for model in new["models"]:
        for case in model["cases"]:
            earlier = before.get((model["weights_sha256"], case["tile"], case["batch"]))
            if earlier is not None:
                yield from _case_changes(model["name"], earlier, case)


def _case_changes(model: str, old: CaseResult, new: CaseResult) -> Iterator[Change]:
    then, now = _speeds(old), _speeds(new)
    common = [name for name in now if name in then]
    if len(common) < FEWEST:
        return
    machine = statistics.median(min(now[name]["seconds"]) / min(then[name]["seconds"]) for name in common)
    for name in common:
        if name in new["yardsticks"]:
            continue
        yield Change(
            model=model, case=f"{new['batch']} x {new['tile']} x {new['tile']}", name=name,
            before=min(then[name]["seconds"]), after=min(now[name]["seconds"]), machine=machine,
            regressed=has_regressed(then[name]["seconds"], now[name]["seconds"], machine),
        )  # fmt: skip


def has_regressed(before: list[float], after: list[float], machine: float) -> bool:
    """The rule above, for the rounds of one row."""
    old, new = Timing(seconds=tuple(before)), Timing(seconds=tuple(value / machine for value in after))
    limit = 1 + TOLERANCE
    return new.minimum > limit * old.minimum and min(new.halves) > max(old.halves)


def _speeds(case: CaseResult) -> dict[str, Speed]:
    return {**case["yardsticks"], **{row["name"]: row["speed"] for row in case["rows"] if "speed" in row}}


def changes_sheet(changes: list[Change]) -> Sheet:
    """All of them, regressions marked."""
    rows = tuple(
        (change.name, change.model, change.case, f"{1e3 * change.before:.1f}", f"{1e3 * change.after:.1f}",
         f"{change.ratio:.3f}", "slower" if change.regressed else "")
        for change in changes
    )  # fmt: skip
    factors = ", ".join(f"{factor:.3f}" for factor in dict.fromkeys(change.machine for change in changes))
    return Sheet(
        title=f"Against the baseline; the machine itself takes {factors} times as long",
        columns=("backend", "model", "tiles", "then, ms", "now, ms", "ratio", ""), rows=rows,
    )  # fmt: skip
