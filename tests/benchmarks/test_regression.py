"""A result against an earlier one: who has become slower, who is gone, and which results cannot be compared."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from nafnet.benchmarks.candidate import Candidate
from nafnet.benchmarks.candidates import Wanted, rows
from nafnet.benchmarks.case import Shape
from nafnet.benchmarks.exports import Exports
from nafnet.benchmarks.honesty import _measure
from nafnet.benchmarks.regression import (
    Change,
    case_changes,
    changes_sheet,
    check_comparable,
    compare_results,
    has_regressed,
    suspects,
)
from nafnet.benchmarks.roofline import Work
from nafnet.runtime.backends.base import Backend

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import UsageError


def test_a_slower_row_is_found_and_the_machines_own_change_is_not_blamed_on_it() -> None:
    before = [1.0, 1.3, 1.01, 1.4]
    assert has_regressed(before, [value * 1.2 for value in before], 1.0)
    assert not has_regressed(before, [value * 1.2 for value in before], 1.2)
    assert has_regressed(before, [value * 1.2 * 0.7 for value in before], 0.7)
    assert not has_regressed(before, [value * 1.09 for value in before], 1.0)
    # The old rounds themselves are 30% apart.
    assert not has_regressed([1.0, 1.5, 1.3, 1.4], [1.2, 1.3], 1.0)


SECONDS = [0.1, 0.13, 0.101, 0.11, 0.14, 0.102]
NAMES = ("torch eager", "openvino naive", "openvino ours", "onnxruntime ours")


@pytest.fixture
def result() -> Any:
    """A result, as far as it is compared, with times that no machine disturbed."""
    rows = [
        {"name": name, "backend": name.split()[0], "precision": "fp32", "refused": None, "speed": {"seconds": SECONDS},
         "parity": None if name == "torch eager" else {"psnr": 120.0, "max_abs": 1e-6, "p999": 1e-6}}
        for name in NAMES
    ]  # fmt: skip
    sticks = {name: {"seconds": SECONDS} for name in ("matrix product fp32", "copy")}
    case = {"tile": 64, "batch": 1, "yardsticks": sticks, "rows": rows}
    return copy.deepcopy({
        "machine": {"processor": "One"}, "settings": {"threads": 2, "norm": "conv"},
        "models": [{"name": "small", "weights_sha256": "1", "cases": [case]}],
    })  # fmt: skip


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


OLD = Path("old.json")


def test_only_the_slower_row_has_regressed(result: Any) -> None:
    slower = changed(result, 1.5, "openvino ours")
    assert regressed(compare_results(result, slower, OLD)) == {"openvino ours"}
    assert regressed(compare_results(result, result, OLD)) == set()
    assert regressed(compare_results(slower, result, OLD)) == set()


def test_a_row_is_suspected_until_it_is_as_fast_as_it_was(result: Any) -> None:
    suspicious = suspects(case_of(result))

    def seconds(case: dict[str, Any]) -> dict[str, list[float]]:
        rows = {row["name"]: row["speed"]["seconds"] for row in case["rows"]}
        return {**rows, **{name: stick["seconds"] for name, stick in case["yardsticks"].items()}}

    slower = seconds(case_of(changed(result, 1.5, "openvino ours")))
    assert suspicious(slower)
    assert not suspicious({**slower, "openvino ours": [*slower["openvino ours"], 0.105]})
    assert not suspicious(seconds(case_of(result)))
    assert not suspicious({"openvino ours": [9.0]}), "of the machine nothing is known"
    # The yardsticks alone are slower: by them the machine is, and then the rows are faster.
    assert not suspicious(seconds(case_of(changed(result, 1.5, "copy", "matrix product fp32"))))


def test_a_baseline_that_saw_a_slow_machine_is_told_of(result: Any) -> None:
    assert "slow machine" not in changes_sheet(compare_results(result, result, OLD)).title
    assert "slow machine" in changes_sheet(compare_results(changed(result, 1.3, *NAMES[1:]), result, OLD)).title


def test_what_slows_every_backend_is_not_the_machines_own_change(result: Any) -> None:
    slower = changed(result, 1.5, *NAMES[1:])
    assert regressed(compare_results(result, slower, OLD)) == set(NAMES[1:])
    # A fault of our harness, that slows PyTorch as well, is one: both yardsticks say that the machine is as it was.
    assert regressed(compare_results(result, changed(slower, 1.5, NAMES[0]), OLD)) == set(NAMES)


def test_a_slower_machine_is_blamed_on_nobody(result: Any) -> None:
    slower = changed(result, 1.5, *NAMES, "matrix product fp32", "copy")
    assert regressed(compare_results(result, slower, OLD)) == set()
    # One yardstick out of three may go astray.
    assert regressed(compare_results(result, changed(slower, 0.5, "copy"), OLD)) == set()


@pytest.mark.parametrize(
    ("parity", "refused", "said"),
    [
        ({"psnr": 50.0}, "not equal to PyTorch on 'noise'", "no longer matches PyTorch"),
        (None, "no such kernel", "no such kernel"),
    ],
)
def test_a_row_that_is_refused_now_has_regressed_and_says_why(
    result: Any, parity: Any, refused: str, said: str
) -> None:
    now = copy.deepcopy(result)
    row = case_of(now)["rows"][2]
    del row["speed"]
    row.update(parity=parity, refused=refused)
    changes = compare_results(result, now, OLD)
    assert regressed(changes) == {row["name"]}
    assert [change.reason for change in changes if change.regressed] == [said]
    assert said in changes_sheet(changes).to_markdown()


def test_a_row_that_is_gone_has_regressed_where_it_was_asked_for(result: Any) -> None:
    gone = copy.deepcopy(result)
    del case_of(gone)["rows"][2]
    changes = compare_results(result, gone, OLD)
    assert regressed(changes) == {"openvino ours"}
    assert "not there any more" in changes_sheet(changes).to_markdown()
    assert not regressed(compare_results(result, gone, OLD, lambda row: row["backend"] != "openvino"))


def test_results_without_common_rows_are_refused(result: Any) -> None:
    other = copy.deepcopy(result)
    other["models"][0]["weights_sha256"] = "0"
    with pytest.raises(UsageError, match="in common"):
        compare_results(other, result, OLD)


@pytest.mark.parametrize("wrong", [[float("nan")], [0.1, 0.0], [-1.0], [float("inf")], [], ["0.1"], None])
def test_a_baseline_of_impossible_times_is_refused_before_anything_is_measured(result: Any, wrong: Any) -> None:
    case_of(result)["rows"][1]["speed"]["seconds"] = wrong
    with pytest.raises(UsageError, match=r"old.json: not a whole result of nafnet-bench \(.*measure anew$"):
        check_comparable(result, result["settings"], "One", OLD)


@pytest.mark.parametrize("lost", ["settings", "machine", "cases"])
def test_a_baseline_that_lacks_a_part_is_refused(result: Any, lost: str) -> None:
    settings = result["settings"]
    del (result["models"][0] if lost == "cases" else result)[lost]
    with pytest.raises(UsageError, match=f"not a whole result of nafnet-bench .no '{lost}'"):
        check_comparable(result, settings, "One", OLD)


def test_a_baseline_of_other_settings_or_of_another_machine_is_refused(result: Any) -> None:
    settings = result["settings"]
    check_comparable(result, settings, "One", OLD)
    with pytest.raises(UsageError, match=r"with threads 2, now 77; norm conv, now mean: compare"):
        check_comparable(result, {"threads": 77, "norm": "mean"}, "One", OLD)
    with pytest.raises(UsageError, match="processor One, now Another"):
        check_comparable(result, settings, "Another", OLD)


def test_honesty_opens_the_backends_for_each_measurement(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = list(rows(Exports(load_checkpoint(small), tmp_path, "rms", 1), Wanted(backends=("torch",))))
    candidates = [row for row in chosen if isinstance(row, Candidate)]
    opened: list[str] = []
    original = Candidate.open

    def spied(self: Candidate, threads: int) -> Backend:
        opened.append(self.name)
        return original(self, threads)

    monkeypatch.setattr(Candidate, "open", spied)
    shape, work = Shape(batch=1, channels=3, tile=64), Work(layers=(), other_flops=0, other_bytes=0)
    name = "torch channels-last"
    cases = [_measure(candidates, shape, work, slow, threads=1, seconds=0) for slow in (None, (name, 9.0))]
    assert opened == 2 * ["torch eager", name]
    assert name in regressed(list(case_changes("", *cases)))
