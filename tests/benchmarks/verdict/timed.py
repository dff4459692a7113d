"""Results of nafnet-bench as far as --baseline looks at them, made by hand."""

from __future__ import annotations

import copy
from typing import Any

from nafnet.benchmarks.results_file import VERSION
from nafnet.benchmarks.verdict.baseline import Baseline, key_of
from nafnet.benchmarks.verdict.regression import Change

SECONDS = [0.1, 0.13, 0.101, 0.11, 0.14, 0.102]
COPIES = [0.0061, 0.006, 0.0062, 0.0061, 0.0066, 0.006]
NAMES = ("torch eager", "openvino naive", "openvino ours", "onnxruntime ours")


def timed() -> Any:
    """A result, as far as it is compared, with times that no machine disturbed."""
    rows = [
        {"name": name, "backend": name.split()[0], "precision": "fp32", "refused": None,
         "speed": {"seconds": list(SECONDS)},
         "parity": None if name == "torch eager" else {"psnr": 120.0, "max_abs": 1e-6, "p999": 1e-6}}
        for name in NAMES
    ]  # fmt: skip
    sticks = {"matrix product fp32": {"seconds": list(SECONDS)}, "copy": {"seconds": list(COPIES)}}
    case = {"tile": 64, "batch": 1, "yardsticks": sticks, "rows": rows}
    return {
        "version": VERSION, "machine": {"processor": "One", "gpu": None},
        "settings": {"threads": 2, "norm": "conv", "malloc": "keep"},
        "models": [{"name": "small", "weights_sha256": "1", "cases": [case]}],
    }  # fmt: skip


def case_of(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = result["models"][0]["cases"][0]
    return found


def changed(result: Any, factor: float, *names: str) -> Any:
    """A copy where what is named so, row or yardstick, takes `factor` times as long."""
    copied = copy.deepcopy(result)
    case = case_of(copied)
    speeds = {**case["yardsticks"], **{row["name"]: row["speed"] for row in case["rows"]}}
    for name in names:
        speeds[name]["seconds"] = [factor * value for value in speeds[name]["seconds"]]
    return copied


def regressed(changes: list[Change]) -> set[str]:
    return {change.name for change in changes if change.regressed}


def baseline(*results: Any) -> Baseline:
    (key,) = {key_of(result["models"][0], case_of(result)) for result in results}
    return {key: [case_of(result) for result in results]}


def seconds_of(result: Any) -> dict[str, list[float]]:
    case = case_of(result)
    rows = {row["name"]: row["speed"]["seconds"] for row in case["rows"]}
    return {**rows, **{name: stick["seconds"] for name, stick in case["yardsticks"].items()}}


def in_state(result: Any, copies: float, factor: float, rounds: int = 20) -> Any:
    """A copy of a result on a machine in another state: copies take so many seconds, rows so many times as long."""
    copied = copy.deepcopy(result)
    speeds = seconds_of(copied)
    for name, seconds in speeds.items():
        seconds[:] = [copies] * rounds if name == "copy" else [0.1 * (factor if name in NAMES else 1)] * rounds
    return copied


def together(*results: Any) -> Any:
    """The rounds of several results, one after the other."""
    copied = copy.deepcopy(results[0])
    for name, seconds in seconds_of(copied).items():
        seconds[:] = [value for result in results for value in seconds_of(result)[name]]
    return copied
