"""A result against earlier ones: which backends have become slower, by more than the machine's noise.

The rule. Compared are minima, over the rounds during which the machine was in a state that both sides have seen, see
`comparable`. Even so it may be faster or slower as a whole than it was, so each row's minimum is first divided by the
machine's own change: the median, over the yardsticks and PyTorch eager, of new minimum over old; not over the rows that
are judged, or what slows all of them would be the machine's. Then a row has regressed if its minimum is more than
`TOLERANCE` above the old one. A row that was timed then and has no time now has regressed, too, unless it is gone
because nobody asked for it.

More rounds come closer to what the machine can do. So where a row seems slower they go on, up to `timing.EXTENSION`
times as long, until it does not any more; only then is it blamed. So they do where the machine is in a state that no
baseline has seen, in the hope that it changes; if it does not, that is said: undecided, nobody is blamed or cleared.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from nafnet.benchmarks.report.sheet import Sheet
from nafnet.benchmarks.results_file import CaseResult, Result, RowResult
from nafnet.benchmarks.rows.candidates import REFERENCE
from nafnet.benchmarks.timing import Rounds
from nafnet.benchmarks.verdict.baseline import Baseline, key_of, rounds_of, timed_rows
from nafnet.benchmarks.verdict.comparable import measured, minima_alike
from nafnet.errors import UsageError

TOLERANCE = 0.10
FASTER = 0.85
"""Below this, as the median of all rows, the baseline cannot have seen the machine at its best."""
REGRESSED, UNDECIDED = 3, 4
"""Exit codes."""
Verdict = Literal["", "slower", "gone", "undecided"]
"""Of a row: gone is one that has no time now; undecided, one that was never timed in a state of the machine that the
baseline has seen."""
Minima = tuple[float, float]
"""Then and now."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One row, then and now."""

    model: str
    case: str
    name: str
    before: float
    """Minimum of the rounds that are compared; of all rounds where none are. So is `after`."""
    after: float | None
    """None: it has no time now."""
    machine: float | None
    """The machine's own change; None where that is not known."""
    verdict: Verdict
    reason: str = ""
    """Why it has no time."""

    @property
    def regressed(self) -> bool:
        return self.verdict in ("slower", "gone")

    @property
    def ratio(self) -> float | None:
        """New minimum over old, the machine's own change taken off; None where they cannot be compared."""
        if self.after is None or self.machine is None or self.verdict == "undecided":
            return None
        return self.after / self.machine / self.before


def compare_results(
    earlier: Baseline, new: Result, wanted: Callable[[RowResult], bool] = lambda _: True
) -> list[Change]:
    """Every row that the baseline has a time of.

    Args:
        wanted: whether a row that is not in the new result was asked for.

    Raises:
        UsageError: they have nothing in common.
    """
    changes = [
        change
        for model in new["models"]
        for case in model["cases"]
        for change in case_changes(model["name"], earlier.get(key_of(model, case), ()), case, wanted)
    ]
    if not changes:
        raise UsageError("--baseline: has no backend of this run; measure it with the same --backend and --precision")
    return changes


def suspects(earlier: Sequence[CaseResult]) -> Callable[[Rounds], bool]:
    """Whether, by the rounds so far, some row seems slower than in earlier measurements of a case, or they cannot tell:
    a question to ask after each round."""
    compare, rows = _compared_with(earlier), timed_rows(earlier)

    def suspicious(now: Rounds) -> bool:
        minima, machine = compare(now)
        return any(_verdict(minima.get(name), machine) for name in rows.keys() & now.keys())

    return suspicious


def _compared_with(earlier: Sequence[CaseResult]) -> Callable[[Rounds], tuple[Mapping[str, Minima], float | None]]:
    """A function of the rounds now, which gives the minima that can be compared, and the machine's own change."""
    then = [measured(rounds_of(case)) for case in earlier]
    sticks = {*(name for case in earlier for name in case["yardsticks"]), REFERENCE}

    def compare(now: Rounds) -> tuple[Mapping[str, Minima], float | None]:
        minima = minima_alike(then, measured(now))
        common = [after / before for name, (before, after) in minima.items() if name in sticks]
        return minima, statistics.median(common) if common else None

    return compare


def _verdict(minima: Minima | None, machine: float | None) -> Verdict:
    """The rule above, for one row; None is what is not known."""
    if minima is None or machine is None:
        return "undecided"
    before, after = minima
    return "slower" if after / machine > (1 + TOLERANCE) * before else ""


def case_changes(
    model: str, earlier: Sequence[CaseResult], new: CaseResult, wanted: Callable[[RowResult], bool] = lambda _: True
) -> Iterator[Change]:
    """Every row of a case that earlier measurements of it have a time of.

    Args:
        model: its name, for the changes.
        wanted: whether a row that is not in the new one was asked for.
    """
    then, now = [rounds_of(case) for case in earlier], rounds_of(new)
    minima, machine = _compared_with(earlier)(now)
    rows = {row["name"]: row for row in new["rows"]}
    for name, was in timed_rows(earlier).items():
        if name not in rows and not wanted(was):
            continue
        gone = name not in now
        if name not in minima:
            before = min(min(rounds[name]) for rounds in then if name in rounds)
            after = None if gone else min(now[name])
        else:
            before, after = minima[name]
        yield Change(
            model=model, case=f"{new['batch']} x {new['tile']} x {new['tile']}", name=name, before=before, after=after,
            machine=machine, verdict="gone" if gone else _verdict(minima.get(name), machine),
            reason=_reason(rows.get(name)) if gone else "",
        )  # fmt: skip


def exit_code(changes: Sequence[Change]) -> int:
    """Of a command that compares."""
    if any(change.regressed for change in changes):
        return REGRESSED
    return UNDECIDED if any(change.verdict == "undecided" for change in changes) else 0


def _reason(row: RowResult | None) -> str:
    """Why a row has no time now."""
    if row is None:
        return "not there any more"
    if row["refused"] is None:
        return "was not timed"
    return "no longer matches PyTorch" if row["parity"] else row["refused"]  # compared, and then refused


def changes_sheet(changes: Sequence[Change]) -> Sheet:
    """All of them, with their verdicts."""
    rows = []
    for change in changes:
        now = "-" if change.after is None else f"{1e3 * change.after:.1f}"
        ratio = "" if change.ratio is None else f"{change.ratio:.3f}"
        verdict = change.reason or change.verdict
        rows.append((change.name, change.model, change.case, f"{1e3 * change.before:.1f}", now, ratio, verdict))
    factors = ", ".join(f"{each:.3f}" for each in dict.fromkeys(change.machine for change in changes) if each)
    title = "Against the baseline" + (f"; the machine itself takes {factors} times as long" if factors else "")
    ratios = [change.ratio for change in changes if change.ratio is not None]
    if ratios and statistics.median(ratios) < FASTER:
        title += "; most rows are faster: the baseline saw a slow machine and hides what became slower, measure it anew"
    if any(change.verdict == "undecided" for change in changes):
        title += (
            "; undecided: the machine was never calm in a state that the baseline has seen: try again, or measure what "
            "is known to be good once more and add it with another --baseline"
        )
    return Sheet(
        title=title,
        columns=("backend", "model", "tiles", "then, ms", "now, ms", "ratio", ""), rows=tuple(rows),
    )  # fmt: skip
