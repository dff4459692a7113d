"""Timing: alternation, warming up, percentiles, and when a measurement is steady."""

from __future__ import annotations

import functools
import itertools
import statistics

import numpy as np
import pytest

from nafnet.benchmarks.measure.case import speed
from nafnet.benchmarks.timing import EXTENSION, MAX_WARMUP, Timing, alternate


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


def test_rounds_go_on_where_they_are_wanted_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))

    def rounds(wanted: int) -> int:
        (timing,) = alternate(
            [lambda: None], seconds=100, min_rounds=1, warm=False, go_on=lambda taken: len(taken[0]) < wanted
        )
        return len(timing.seconds)

    in_time = rounds(0)
    assert rounds(in_time - 1) == in_time
    assert rounds(3 * in_time) == 3 * in_time
    assert rounds(1000 * in_time) == pytest.approx(EXTENSION * in_time, rel=0.05)


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


@pytest.mark.parametrize("seconds", [(0.00134999999, 0.002), (0.00135000001, 0.002), (0.00135, 0.002)])
def test_figures_are_of_the_seconds_that_are_written(seconds: tuple[float, ...]) -> None:
    written = speed(Timing(seconds=seconds))
    assert written["minimum"] == min(written["seconds"])
    assert written["median"] == statistics.median(written["seconds"])


def test_seconds_are_short_to_write_and_never_zero() -> None:
    (timing,) = alternate([lambda: None], seconds=0, min_rounds=20, warm=False)
    assert all(value == round(value, 7) > 0 for value in timing.seconds)


def test_steady_is_when_both_halves_reach_the_same_minimum() -> None:
    assert Timing(seconds=(3.0, 1.0, 1.04, 9.0)).steady
    assert not Timing(seconds=(3.0, 1.0, 1.06, 9.0)).steady
