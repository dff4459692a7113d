"""A result against an earlier one: which backends have become slower, by more than the machine's noise.

The rule. A machine may be faster or slower as a whole than it was, so each row's minimum is first divided by the
machine's own change: the median, over all rows and yardsticks that both results have, of new minimum over old. Then a
row has regressed if its minimum is more than `TOLERANCE` above the old one, and above both halves of the old rounds:
where these disagree, the old measurement was noisy, and its better half alone proves nothing. A row that was timed
then and is refused now, for it does not match PyTorch any more, has regressed, too.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from nafnet.benchmarks.results_file import CaseResult, Result, RowResult, Speed
from nafnet.benchmarks.tables import Sheet
from nafnet.benchmarks.timing import Timing

from nafnet.errors import UsageError

TOLERANCE = 0.10
FEWEST = 3
"""Rows and yardsticks in common, below which the machine's own change cannot be told from a row's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One row, then and now."""

    model: str
    case: str
    name: str
    before: float
    after: float | None
    """None: refused now."""
    machine: float
    """The machine's own change."""
    regressed: bool

    @property
    def ratio(self) -> float | None:
        """New minimum over old, the machine's own change taken off."""
        return None if self.after is None else self.after / self.before / self.machine


def compare_results(old: Result, new: Result, old_path: Path) -> list[Change]:
    """Every row that the old one has a time of.

    Raises:
        UsageError: they have nothing, or too little, in common, or the old one is malformed.
    """
    try:
        changes = list(_changes(old, new))
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"--baseline {old_path}: not a whole result of nafnet-bench ({error!r}): measure anew"
        ) from error
    if not changes:
        raise UsageError(f"--baseline {old_path}: has no model, tile, batch and backends in common with this run")
    return changes


def has_regressed(before: Sequence[float], after: Sequence[float], machine: float) -> bool:
    """The rule above, for the seconds of one row's rounds.

    Args:
        machine: the machine's own change.
    """
    old, new = Timing(seconds=tuple(before)), min(after) / machine
    return new > (1 + TOLERANCE) * old.minimum and new > max(old.halves)


def _changes(old: Result, new: Result) -> Iterator[Change]:
    earlier = {
        (model["weights_sha256"], case["tile"], case["batch"]): case
        for model in old["models"]
        for case in model["cases"]
    }
    for model in new["models"]:
        for case in model["cases"]:
            before = earlier.get((model["weights_sha256"], case["tile"], case["batch"]))
            if before is not None:
                yield from case_changes(model["name"], before, case)


def case_changes(model: str, old: CaseResult, new: CaseResult) -> Iterator[Change]:
    """Every row of a case that the old one has a time of; none where they have too little in common.

    Args:
        model: its name, for the changes.
    """
    then, now = _speeds(old), _speeds(new)
    common = [name for name in now if name in then]
    if len(common) < FEWEST:
        return
    machine = statistics.median(min(now[name]["seconds"]) / min(then[name]["seconds"]) for name in common)
    for row in new["rows"]:
        name = row["name"]
        if name not in then:
            continue
        before, refused = then[name]["seconds"], "speed" not in row
        yield Change(
            model=model, case=f"{new['batch']} x {new['tile']} x {new['tile']}", name=name, before=min(before),
            after=None if refused else min(now[name]["seconds"]), machine=machine,
            regressed=refused or has_regressed(before, now[name]["seconds"], machine),
        )  # fmt: skip


def _speeds(case: CaseResult) -> dict[str, Speed]:
    rows: list[RowResult] = case["rows"]
    return {**case["yardsticks"], **{row["name"]: row["speed"] for row in rows if "speed" in row}}


def changes_sheet(changes: Sequence[Change]) -> Sheet:
    """All of them, regressions marked."""
    rows = []
    for change in changes:
        now = "refused" if change.after is None else f"{1e3 * change.after:.1f}"
        ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
        verdict = "" if not change.regressed else ("slower" if change.ratio else "no longer matches PyTorch")
        rows.append((change.name, change.model, change.case, f"{1e3 * change.before:.1f}", now, ratio, verdict))
    factors = ", ".join(f"{factor:.3f}" for factor in dict.fromkeys(change.machine for change in changes))
    return Sheet(
        title=f"Against the baseline; the machine itself takes {factors} times as long",
        columns=("backend", "model", "tiles", "then, ms", "now, ms", "ratio", ""), rows=tuple(rows),
    )  # fmt: skip
