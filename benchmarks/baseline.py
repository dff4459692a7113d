"""Earlier results to compare with: read, and refused before anything is measured where they cannot be compared."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nafnet.benchmarks.comparable import measured
from nafnet.benchmarks.results_file import CaseResult, ModelResult, RowResult, read_result
from nafnet.benchmarks.timing import Rounds

from nafnet.errors import UsageError

SETTINGS = ("threads", "norm", "malloc")
"""Of a run, that must be the same."""


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


def read_baseline(paths: Sequence[Path], settings: Mapping[str, Any], processor: str) -> Baseline:
    """Read what `nafnet-bench --json` wrote, one or several times.

    Args:
        settings: of the new run.
        processor: that it runs on.

    Raises:
        UsageError: a file is malformed, or was measured otherwise or elsewhere; says what differs.
    """
    found: dict[Key, list[CaseResult]] = {}
    now = {**{name: settings[name] for name in SETTINGS}, "processor": processor}
    for path in paths:
        result = read_result(path)
        with _whole(path):
            for model in result["models"]:
                for case in model["cases"]:
                    _check(case)
                    found.setdefault(key_of(model, case), []).append(case)
            before = {**result["settings"], "processor": result["machine"]["processor"]}
        differ = [f"{name} {before.get(name)}, now {value}" for name, value in now.items() if before.get(name) != value]
        if differ:
            raise UsageError(f"--baseline {path}: measured with {'; '.join(differ)}: compare like with like")
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
        _ = row["backend"], row["precision"]
    rounds = rounds_of(case)
    for name, seconds in rounds.items():
        if not seconds or not all(math.isfinite(value) and value > 0 for value in seconds):
            raise ValueError(f"'{name}' took impossible times")
    if len({len(seconds) for seconds in rounds.values()}) > 1:
        raise ValueError("some took part in fewer rounds than others")
    measured(rounds)


def timed_rows(cases: Sequence[CaseResult]) -> dict[str, RowResult]:
    """Rows that have a time, by name."""
    return {row["name"]: row for case in cases for row in case["rows"] if "speed" in row}


def rounds_of(case: CaseResult) -> Rounds:
    """Of its rows and yardsticks."""
    speeds = {**case["yardsticks"], **{name: row["speed"] for name, row in timed_rows([case]).items()}}
    return {name: speed["seconds"] for name, speed in speeds.items()}
