"""What is said of a run before it is over: how long it takes, and how far it is."""

from __future__ import annotations

import pytest

from nafnet.benchmarks.estimate import COMPARED, WARMUP, YARDSTICKS, Extent, Row, Watch, in_groups, in_words, parts
from nafnet.benchmarks.measure.whole_path import ROUNDS, tiles_of
from nafnet.benchmarks.profiles.measured import RUNS, WARM
from nafnet.benchmarks.timing import MIN_ROUNDS

ROWS = [Row(batch=0.5, load=2, restores=True), Row(batch=0.25, load=3, restores=False)]
BARE = Extent(
    cases=[1.0], batch=1, seconds=20, picture_tiles=0, tilings=0, photograph=False, cold=False, profiled=False
)


def test_a_run_takes_what_its_calls_take() -> None:
    assert parts(ROWS, BARE) == {"case 0": WARMUP * 0.75 + 20}
    short = Extent(
        cases=[1.0, 4.0], batch=1, seconds=0, picture_tiles=6, tilings=2, photograph=True, cold=False, profiled=False
    )
    found = parts(ROWS, short)
    assert found["case 0"] == pytest.approx(WARMUP * 0.75 + MIN_ROUNDS * (0.75 + YARDSTICKS))
    assert found["case 1"] == pytest.approx((WARMUP + COMPARED) * 3 + MIN_ROUNDS * (3 + YARDSTICKS) + 5)
    assert found["pictures"] == pytest.approx(6 * (0.5 + 2 * 0.5)), "one row restores none"
    assert found["photograph"] == pytest.approx((ROUNDS + 1) * tiles_of(0.5, 1) * 0.75)


def test_rows_that_do_not_fit_are_expected_as_long_as_those_that_do() -> None:
    cold = Extent(
        cases=[1.0], batch=1, seconds=20, picture_tiles=0, tilings=0, photograph=False, cold=True, profiled=True
    )
    found = in_groups(ROWS, 2, cold)
    assert list(found) == ["1: case 0", "2: case 0", "3: case 0", "starts", "profiles"]
    assert found["2: case 0"] == found["3: case 0"] == pytest.approx(WARMUP * (0.5 + 0.375) + 20 + 2 + 2.5)
    assert found["profiles"] == pytest.approx(2 + 3 + 2 * 2.5 + (WARM + RUNS) * (0.75 + 2 * 0.375))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((3,), "about 10 s"), ((61,), "about 70 s"), ((91,), "about 2 min"), ((200,), "about 4 min"),
        ((601,), "about 15 min"), ((7300,), "about 3 h"), ((20, 40), "between 20 and 40 s"),
        ((50, 200), "between 50 s and 4 min"), ((130, 290), "between 3 and 5 min"), ((11, 19), "about 20 s"),
    ],
)  # fmt: skip
def test_an_estimate_is_said_no_finer_than_it_is(seconds: tuple[float, ...], words: str) -> None:
    assert in_words(*seconds) == words


def test_what_is_over_is_counted_by_what_was_expected() -> None:
    told: list[tuple[str, float, float]] = []
    watch = Watch(lambda *step: told.append(step))
    watch.say("exporting")
    watch.expect({"a": 10.0, "b": 30.0})
    watch.begin("a")
    watch.say("half", 0.5)
    watch.begin("not expected")
    watch.begin("b")
    watch.say("third", 1 / 3)
    assert told == [("exporting", 0, 0), ("half", 5, 40), ("third", 20, 40)]
