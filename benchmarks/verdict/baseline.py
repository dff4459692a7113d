"""Earlier results to compare with: read, and refused before anything is measured where they cannot be compared."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nafnet.benchmarks.results_file import CaseResult, ModelResult, RowResult, read_result
from nafnet.benchmarks.timing import Rounds
from nafnet.benchmarks.verdict.comparable import COPY, FEWEST, count_calm, measured
from nafnet.errors import UsageError

SETTINGS = {"threads": None, "norm": None, "malloc": "default"}
"""Of a run, that must be the same; and what holds where a file does not say."""
MACHINE = ("processor", "gpu")
"""What must be the same of the machine."""


class Key(NamedTuple):
    """Which cases are of the same work."""

    weights_sha256: str
    tile: int
    batch: int


Baseline = Mapping[Key, Sequence[CaseResult]]
"""Measurements of each case, in one or several results."""


def key_of(model: ModelResult, case: CaseResult) -> Key:
    """Of a case in a result."""
    return Key(model["weights_sha256"], case["tile"], case["batch"])


def read_baseline(
    paths: Sequence[Path], settings: Mapping[str, Any], machine: Mapping[str, Any], keys: Collection[Key]
) -> Baseline:
    """Read what `nafnet-bench --json` wrote, one or several times; a file that is named twice is read once.

    Args:
        settings: of the new run.
        machine: that it runs on.
        keys: of the new run's cases; others are left out.

    Raises:
        UsageError: a file is malformed, was measured otherwise or elsewhere, or on nothing that is measured now.
    """
    found: dict[Key, list[CaseResult]] = {}
    now = {**{name: settings[name] for name in SETTINGS}, **{name: machine[name] for name in MACHINE}}
    for path in {path.resolve(): path for path in paths}.values():
        result = read_result(path)
        with _whole(path):
            cases = [(key_of(model, case), case) for model in result["models"] for case in model["cases"]]
            for _, case in cases:
                _check(case)
            before = {**SETTINGS, **result["settings"], **{name: result["machine"][name] for name in MACHINE}}
        differ = [f"{name} {before[name]}, now {value}" for name, value in now.items() if before[name] != value]
        if differ:
            raise UsageError(f"--baseline {path}: measured with {'; '.join(differ)}: compare like with like")
        wanted = [(key, case) for key, case in cases if key in keys]
        if not wanted:
            raise UsageError(f"--baseline {path}: has no model, tile and batch of this run: measure it with the same")
        for key, case in wanted:
            found.setdefault(key, []).append(case)
    for key, measurements in found.items():
        calm = sum(count_calm(measured(rounds_of(case))) for case in measurements)
        if calm < FEWEST:
            raise UsageError(
                f"--baseline {' '.join(map(str, paths))}: has {calm} rounds of {key.batch} x {key.tile} x {key.tile} "
                f"in which the machine was calm; expected {FEWEST} or more: measure longer"
            )
    return found


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """What goes wrong inside is a file's fault that is JSON and not what `write_result` writes."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"--baseline {path}: not a whole result of nafnet-bench ({what}): measure anew") from error


def _check(case: CaseResult) -> None:
    """All that is looked at later, so that nothing is amiss after an hour's measurement."""
    for row in case["rows"]:
        if not isinstance(row["backend"], str) or not isinstance(row["precision"], str):
            raise ValueError(f"backend {row['backend']!r}, precision {row['precision']!r}")
    rounds = rounds_of(case)
    if COPY not in rounds:
        raise KeyError(COPY)
    for name, seconds in rounds.items():
        if not seconds or not all(math.isfinite(value) and value > 0 for value in seconds):
            raise ValueError(f"'{name}' took impossible times")
    if len({len(seconds) for seconds in rounds.values()}) > 1:
        raise ValueError("some took part in fewer rounds than others")


def timed_rows(cases: Sequence[CaseResult]) -> dict[str, RowResult]:
    """Rows that have a time, by name, of those that took part in the rounds of the yardsticks."""
    return {row["name"]: row for case in cases for row in case["rows"] if "speed" in row and "group" not in row}


def rounds_of(case: CaseResult) -> Rounds:
    """Of its rows and yardsticks."""
    speeds = {**case["yardsticks"], **{name: row["speed"] for name, row in timed_rows([case]).items()}}
    return {name: speed["seconds"] for name, speed in speeds.items()}
