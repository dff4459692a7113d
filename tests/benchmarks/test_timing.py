"""Timing: alternation, percentiles, and the rules that call a measurement steady and a backend slower."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nafnet.benchmarks.regression import Change, changes_sheet, check_comparable, compare_results, has_regressed
from nafnet.benchmarks.timing import MAX_WARMUP, Timing, alternate

from nafnet.errors import UsageError


def test_each_function_is_called_once_a_round_and_none_always_follows_the_same() -> None:
    calls: list[str] = []
    names = "abcd"
    functions = [functools.partial(calls.append, name) for name in names]
    timings = alternate(functions, seconds=0, min_rounds=12, warm=False)
    rounds = ["".join(calls[index : index + 4]) for index in range(0, 48, 4)]
    assert all(sorted(each) == list(names) for each in rounds)
    before_d = {each[each.index("d") - 1] for each in rounds if each[0] != "d"}
    assert before_d == set("abc")
    assert [len(timing.seconds) for timing in timings] == [12] * 4


def test_warm_up_goes_on_while_a_function_gets_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum([0, 8, 0, 4, 0, 2, 0, 2, 0, 2, 0, 5]).tolist())  # calls of 8, 4, 2, 2, 2; then one of 5
    monkeypatch.setattr("time.perf_counter", lambda: next(clock, 99.0))
    calls: list[int] = []
    alternate([lambda: calls.append(1)], seconds=0, min_rounds=1)
    assert len(calls) == 5 + 1
    assert len(calls) <= MAX_WARMUP


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_percentiles_are_numpys(count: int) -> None:
    seconds = np.random.default_rng(count).lognormal(size=count)
    timing = Timing(seconds=tuple(seconds.tolist()))
    for percent in (0, 25, 50, 90, 95, 99, 100):
        assert timing.percentile(percent) == pytest.approx(np.percentile(seconds, percent))
    assert timing.median == pytest.approx(np.median(seconds))
    assert timing.minimum == seconds.min()
    quartiles = np.percentile(seconds, (25, 75))
    assert timing.spread == pytest.approx((quartiles[1] - quartiles[0]) / np.median(seconds))


def test_steady_is_when_both_halves_reach_the_same_minimum() -> None:
    assert Timing(seconds=(3.0, 1.0, 1.04, 9.0)).steady
    assert not Timing(seconds=(3.0, 1.0, 1.06, 9.0)).steady


def test_a_slower_row_is_found_and_the_machines_own_change_is_not_blamed_on_it() -> None:
    before = [1.0, 1.3, 1.01, 1.4]
    assert has_regressed(before, [value * 1.2 for value in before], 1.0)
    assert not has_regressed(before, [value * 1.2 for value in before], 1.2)
    assert has_regressed(before, [value * 1.2 * 0.7 for value in before], 0.7)
    assert not has_regressed(before, [value * 1.09 for value in before], 1.0)
    # The old rounds themselves are 30% apart.
    assert not has_regressed([1.0, 1.5, 1.3, 1.4], [1.2, 1.3], 1.0)


@pytest.fixture
def result(benched: Path) -> dict[str, Any]:
    """A real result, with times that no machine disturbed."""
    loaded: dict[str, Any] = json.loads((benched / "result.json").read_text(encoding="utf-8"))
    for case in loaded["models"][0]["cases"]:
        for speed in (*case["yardsticks"].values(), *(row["speed"] for row in case["rows"])):
            speed["seconds"] = [0.1, 0.13, 0.101, 0.11, 0.14, 0.102]
    return loaded


def changed(result: dict[str, Any], name: str, factor: float) -> dict[str, Any]:
    """A copy where every row named so takes `factor` times as long."""
    copied = copy.deepcopy(result)
    for model in copied["models"]:
        for case in model["cases"]:
            for row in case["rows"]:
                if row["name"] == name:
                    row["speed"]["seconds"] = [factor * value for value in row["speed"]["seconds"]]
    return copied


def regressed(changes: list[Change]) -> set[str]:
    return {change.name for change in changes if change.regressed}


def test_only_the_slower_row_has_regressed(result: dict[str, Any]) -> None:
    slower: Any = changed(result, "openvino ours", 1.5)
    assert regressed(compare_results(result, slower, Path("old.json"))) == {"openvino ours"}  # type: ignore[arg-type]
    assert regressed(compare_results(result, result, Path("old.json"))) == set()  # type: ignore[arg-type]
    assert regressed(compare_results(slower, result, Path("old.json"))) == set()  # type: ignore[arg-type]


def test_a_row_that_is_refused_now_has_regressed(result: dict[str, Any]) -> None:
    refused: Any = copy.deepcopy(result)
    row = refused["models"][0]["cases"][0]["rows"][3]
    del row["speed"]
    row["refused"] = "not equal to PyTorch on 'noise'"
    changes = compare_results(result, refused, Path("old.json"))  # type: ignore[arg-type]
    assert regressed(changes) == {row["name"]}
    assert "not equal to PyTorch on" in changes_sheet(changes).to_markdown()


def test_results_without_common_rows_are_refused(result: dict[str, Any]) -> None:
    other: Any = copy.deepcopy(result)
    other["models"][0]["weights_sha256"] = "0"
    with pytest.raises(UsageError, match="in common"):
        compare_results(other, result, Path("old.json"))  # type: ignore[arg-type]
    del other["models"][0]["cases"]
    with pytest.raises(UsageError, match="not a whole result"):
        compare_results(other, result, Path("old.json"))  # type: ignore[arg-type]


def test_what_slows_every_backend_is_not_the_machines_own_change(result: dict[str, Any]) -> None:
    slower: Any = copy.deepcopy(result)
    for row in slower["models"][0]["cases"][0]["rows"]:
        if row["name"] != "torch eager":
            row["speed"]["seconds"] = [1.5 * value for value in row["speed"]["seconds"]]
    names = {row["name"] for row in slower["models"][0]["cases"][0]["rows"]} - {"torch eager"}
    assert regressed(compare_results(result, slower, Path("old.json"))) == names  # type: ignore[arg-type]


def test_a_row_that_is_gone_has_regressed_where_it_was_asked_for(result: dict[str, Any]) -> None:
    gone: Any = copy.deepcopy(result)
    rows = gone["models"][0]["cases"][0]["rows"]
    gone["models"][0]["cases"][0]["rows"] = [row for row in rows if row["name"] != "openvino ours"]
    changes = compare_results(result, gone, Path("old.json"))  # type: ignore[arg-type]
    assert regressed(changes) == {"openvino ours"}
    assert "not there any more" in changes_sheet(changes).to_markdown()
    assert not regressed(compare_results(result, gone, Path("old.json"), lambda _: False))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [float("nan"), 0.0, -1.0, float("inf")])
def test_a_baseline_of_impossible_times_is_refused(result: dict[str, Any], wrong: float) -> None:
    spoilt: Any = copy.deepcopy(result)
    spoilt["models"][0]["cases"][0]["rows"][1]["speed"]["seconds"][0] = wrong
    with pytest.raises(UsageError, match="not a whole result"):
        compare_results(spoilt, result, Path("old.json"))  # type: ignore[arg-type]


def test_a_baseline_of_other_settings_or_of_another_machine_is_refused(result: dict[str, Any]) -> None:
    old: Any = result
    processor = old["machine"]["processor"]
    check_comparable(old, old["settings"], processor, Path("old.json"))
    with pytest.raises(UsageError, match=r"threads \d+, now 77"):
        check_comparable(old, {**old["settings"], "threads": 77}, processor, Path("old.json"))
    with pytest.raises(UsageError, match="now Another"):
        check_comparable(old, old["settings"], "Another", Path("old.json"))
