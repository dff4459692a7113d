"""A result against an earlier one: which backends have become slower, by more than the machine's noise.

The rule. A machine may be faster or slower as a whole than it was, so each row's minimum is first divided by the
machine's own change: the median, over the yardsticks and PyTorch eager, of new minimum over old; not over the rows that
are judged, or what slows all of them would be the machine's. Then a row has regressed if its minimum is more than
`TOLERANCE` above the old one, and above both halves of the old rounds: where these disagree, the old measurement was
noisy, and its better half alone proves nothing. A row that was timed then and has no time now has regressed, too,
unless it is gone because nobody asked for it.

Machines also have states that last for minutes and slow each row by another factor, which no yardstick can take off. A
minimum can only fall. So where a row seems slower the rounds go on, up to `timing.EXTENSION` times as long, until it
does not any more; only then is it blamed. A baseline that is to be relied on was measured long enough to have seen the
machine at its best.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nafnet.benchmarks.candidates import REFERENCE
from nafnet.benchmarks.results_file import CaseResult, Result, RowResult
from nafnet.benchmarks.tables import Sheet
from nafnet.benchmarks.timing import Rounds, Timing

from nafnet.errors import UsageError

TOLERANCE = 0.10
FASTER = 0.85
"""Below this, as the median of all rows, the baseline cannot have seen the machine at its best."""
Key = tuple[str, int, int]
"""The weights' hash, tile and batch of a case."""
FEWEST = 2
"""Yardsticks in common, the reference among them, below which the machine's own change is not known."""
SETTINGS = ("threads", "norm")
"""Of a run, that must be the same."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One row, then and now."""

    model: str
    case: str
    name: str
    before: float
    after: float | None
    """None: it has no time now."""
    machine: float
    """The machine's own change."""
    regressed: bool
    reason: str = ""
    """Why it has no time."""

    @property
    def ratio(self) -> float | None:
        """New minimum over old, the machine's own change taken off."""
        return None if self.after is None else self.after / self.before / self.machine


def check_comparable(old: Result, settings: Mapping[str, Any], processor: str, old_path: Path) -> None:
    """Refuse a baseline that is malformed, or was measured otherwise or elsewhere; before anything is measured.

    Args:
        settings: of the new run.
        processor: that it runs on.

    Raises:
        UsageError: says what differs.
    """
    with _whole(old_path):
        for model in old["models"]:
            for case in model["cases"]:
                _rounds(case)
        before = {**old["settings"], "processor": old["machine"]["processor"]}
    now = {**{name: settings[name] for name in SETTINGS}, "processor": processor}
    differ = [f"{name} {before.get(name)}, now {value}" for name, value in now.items() if before.get(name) != value]
    if differ:
        raise UsageError(f"--baseline {old_path}: measured with {'; '.join(differ)}: compare like with like")


def compare_results(
    old: Result, new: Result, old_path: Path, wanted: Callable[[RowResult], bool] = lambda _: True
) -> list[Change]:
    """Every row that the old one has a time of.

    Args:
        wanted: whether a row that is not in the new one was asked for.

    Raises:
        UsageError: they have nothing, or too little, in common, or the old one is malformed.
    """
    with _whole(old_path):
        changes = list(_changes(old, new, wanted))
    if not changes:
        raise UsageError(f"--baseline {old_path}: has no model, tile, batch and backends in common with this run")
    return changes


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What goes wrong inside is a file's fault that is JSON and not what `write_result` writes."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"--baseline {path}: not a whole result of nafnet-bench ({what}): measure anew") from error


def has_regressed(before: Sequence[float], after: Sequence[float], machine: float) -> bool:
    """The rule above, for the seconds of one row's rounds.

    Args:
        machine: the machine's own change.
    """
    old, new = Timing(seconds=tuple(before)), min(after) / machine
    return new > (1 + TOLERANCE) * old.minimum and new > max(old.halves)


def _changes(old: Result, new: Result, wanted: Callable[[RowResult], bool]) -> Iterator[Change]:
    earlier = cases_of(old)
    for model in new["models"]:
        for case in model["cases"]:
            before = earlier.get((model["weights_sha256"], case["tile"], case["batch"]))
            if before is not None:
                yield from case_changes(model["name"], before, case, wanted)


def cases_of(result: Result) -> dict[Key, CaseResult]:
    """Every case of a result."""
    return {
        (model["weights_sha256"], case["tile"], case["batch"]): case
        for model in result["models"]
        for case in model["cases"]
    }


def suspects(old: CaseResult) -> Callable[[Rounds], bool]:
    """Whether, by the rounds so far, some row seems slower than in an old case: a question to ask after each round."""
    then = _rounds(old)
    rows = {row["name"] for row in old["rows"]} & then.keys()

    def suspicious(now: Rounds) -> bool:
        machine = machine_change(old["yardsticks"], then, now)
        return machine is not None and any(has_regressed(then[name], now[name], machine) for name in rows & now.keys())

    return suspicious


def machine_change(yardsticks: Iterable[str], then: Rounds, now: Rounds) -> float | None:
    """How many times as long the machine itself takes; None where too little is in both to know."""
    common = [name for name in (*yardsticks, REFERENCE) if name in then and name in now]
    if len(common) < FEWEST:
        return None
    return statistics.median(min(now[name]) / min(then[name]) for name in common)


def case_changes(
    model: str, old: CaseResult, new: CaseResult, wanted: Callable[[RowResult], bool] = lambda _: True
) -> Iterator[Change]:
    """Every row of a case that the old one has a time of; none where they have too little in common.

    Args:
        model: its name, for the changes.
        wanted: whether a row that is not in the new one was asked for.
    """
    then, now = _rounds(old), _rounds(new)
    machine = machine_change(new["yardsticks"], then, now)
    if machine is None:
        return
    rows = {row["name"]: row for row in new["rows"]}
    for was in old["rows"]:
        name = was["name"]
        if name not in then or (name not in rows and not wanted(was)):
            continue
        before, taken = then[name], now.get(name)
        reason = "" if taken else _reason(rows.get(name))
        yield Change(
            model=model, case=f"{new['batch']} x {new['tile']} x {new['tile']}", name=name, before=min(before),
            after=min(taken) if taken else None, machine=machine, reason=reason,
            regressed=taken is None or has_regressed(before, taken, machine),
        )  # fmt: skip


def _reason(row: RowResult | None) -> str:
    """Why a row has no time now."""
    if row is None:
        return "not there any more"
    if row["refused"] is None:
        return "was not timed"
    return "no longer matches PyTorch" if row["parity"] else row["refused"]  # compared, and then refused


def _rounds(case: CaseResult) -> Rounds:
    rows: list[RowResult] = case["rows"]
    speeds = {**case["yardsticks"], **{row["name"]: row["speed"] for row in rows if "speed" in row}}
    rounds = {name: speed["seconds"] for name, speed in speeds.items()}
    for name, seconds in rounds.items():
        if not seconds or not all(math.isfinite(value) and value > 0 for value in seconds):
            raise ValueError(f"'{name}' took impossible times")
    return rounds


def changes_sheet(changes: Sequence[Change]) -> Sheet:
    """All of them, regressions marked."""
    rows = []
    for change in changes:
        now = "-" if change.after is None else f"{1e3 * change.after:.1f}"
        ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
        verdict = "" if not change.regressed else ("slower" if change.ratio else change.reason)
        rows.append((change.name, change.model, change.case, f"{1e3 * change.before:.1f}", now, ratio, verdict))
    factors = ", ".join(f"{factor:.3f}" for factor in dict.fromkeys(change.machine for change in changes))
    ratios = [change.ratio for change in changes if change.ratio is not None]
    title = f"Against the baseline; the machine itself takes {factors} times as long"
    if ratios and statistics.median(ratios) < FASTER:
        title += "; most rows are faster: the baseline saw a slow machine and hides what became slower, measure it anew"
    return Sheet(
        title=title,
        columns=("backend", "model", "tiles", "then, ms", "now, ms", "ratio", ""), rows=tuple(rows),
    )  # fmt: skip
