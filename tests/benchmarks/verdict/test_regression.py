"""A result against earlier ones: who has become slower, who is gone, and what cannot be compared."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from nafnet.benchmarks.measure.case import Shape
from nafnet.benchmarks.measure.roofline import Work
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.studies import honesty
from nafnet.benchmarks.studies.honesty import Slower
from nafnet.benchmarks.timing import MIN_ROUNDS
from nafnet.benchmarks.verdict.regression import changes_sheet, compare_results, suspects
from nafnet.errors import UsageError
from nafnet.runtime.backends.base import Backend
from nafnet.wire import Batch

from .timed import NAMES, baseline, case_of, changed, regressed, seconds_of


def test_only_the_slower_row_has_regressed(result: Any) -> None:
    slower = changed(result, 1.5, "openvino ours")
    assert regressed(compare_results(baseline(result), slower)) == {"openvino ours"}
    assert regressed(compare_results(baseline(result), result)) == set()
    assert regressed(compare_results(baseline(slower), result)) == set()


def test_a_tenth_is_the_machines_noise(result: Any) -> None:
    assert regressed(compare_results(baseline(result), changed(result, 1.09, NAMES[2]))) == set()
    assert regressed(compare_results(baseline(result), changed(result, 1.11, NAMES[2]))) == {NAMES[2]}


def test_a_row_is_suspected_until_it_is_as_fast_as_it_was(result: Any) -> None:
    suspicious = suspects([case_of(result)])
    slower = seconds_of(changed(result, 1.5, "openvino ours"))
    assert suspicious(slower)
    assert not suspicious({**slower, "openvino ours": [*slower["openvino ours"][1:], 0.105]})
    assert not suspicious(seconds_of(result))
    # The yardsticks alone are slower: by them the machine is, and then the rows are faster.
    assert not suspicious(seconds_of(changed(result, 1.5, "matrix product fp32", NAMES[0])))
    assert not suspects([])(slower)


def test_a_baseline_that_saw_a_slow_machine_is_told_of(result: Any) -> None:
    assert "slow machine" not in changes_sheet(compare_results(baseline(result), result)).title
    assert "slow machine" in changes_sheet(compare_results(baseline(changed(result, 1.3, *NAMES[1:])), result)).title


def test_what_slows_every_backend_is_not_the_machines_own_change(result: Any) -> None:
    slower = changed(result, 1.5, *NAMES[1:])
    assert regressed(compare_results(baseline(result), slower)) == set(NAMES[1:])
    # A fault of our harness, that slows PyTorch as well, is one: both yardsticks say that the machine is as it was.
    assert regressed(compare_results(baseline(result), changed(slower, 1.5, NAMES[0]))) == set(NAMES)


def test_a_slower_machine_is_blamed_on_nobody(result: Any) -> None:
    slower = changed(result, 1.5, *NAMES, "matrix product fp32")  # and one yardstick out of three goes astray
    assert regressed(compare_results(baseline(result), slower)) == set()


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
    changes = compare_results(baseline(result), now)
    assert regressed(changes) == {row["name"]}
    assert [change.reason for change in changes if change.regressed] == [said]
    assert said in changes_sheet(changes).to_markdown()


def test_a_row_that_is_gone_has_regressed_where_it_was_asked_for(result: Any) -> None:
    gone = copy.deepcopy(result)
    del case_of(gone)["rows"][2]
    changes = compare_results(baseline(result), gone)
    assert regressed(changes) == {"openvino ours"}
    assert "not there any more" in changes_sheet(changes).to_markdown()
    assert not regressed(compare_results(baseline(result), gone, lambda row: row["backend"] != "openvino"))


def test_results_without_common_rows_are_refused(result: Any) -> None:
    other = copy.deepcopy(result)
    other["models"][0]["weights_sha256"] = "0"
    with pytest.raises(UsageError, match="has no backend of this run"):
        compare_results(other, result)


def test_honesty_opens_the_backends_for_each_measurement_and_slows_the_one_it_names(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [row for row in rows(exports, Wanted(backends=("torch",))) if isinstance(row, Candidate)]
    opened: list[tuple[str, Backend]] = []
    slowed: list[tuple[Backend, float]] = []
    calls: list[int] = []
    original = Candidate.open

    def spied(self: Candidate, threads: int) -> Backend:
        backend = original(self, threads)
        opened.append((self.name, backend))
        return backend

    class Spied(Slower):
        """Tells of itself, and takes no longer."""

        def __init__(self, backend: Backend, share: float) -> None:
            super().__init__(backend, 0.0)
            slowed.append((backend, share))

        def __call__(self, batch: Batch) -> Batch:
            calls.append(1)
            return super().__call__(batch)

    monkeypatch.setattr(Candidate, "open", spied)
    monkeypatch.setattr(honesty, "Slower", Spied)
    shape, work = Shape(batch=1, channels=3, tile=64), Work(layers=(), other_flops=0, other_bytes=0)
    name = "torch channels-last"
    for slow in (None, (name, 9.0)):
        honesty._measure(candidates, shape, work, 1, 0, [], slow)
    assert [each for each, _ in opened] == 2 * ["torch eager", name]
    assert slowed == [(opened[3][1], 9.0)]
    assert len(calls) > MIN_ROUNDS, "it is called where it is timed"


def test_a_slower_backend_takes_so_much_longer_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    class TenSeconds:
        """Gives its input back."""

        def _run(self, batch: Batch) -> Batch:
            nonlocal now
            now += 10
            return batch

    slower, batch = Slower(TenSeconds(), 9.0), np.zeros((1, 3, 8, 8), np.float32)  # type: ignore[arg-type]
    monkeypatch.setattr("time.perf_counter", clock)
    assert slower(batch) is batch
    assert now == pytest.approx(10 + 90, rel=0.001)
