"""How long a run will take: from the steps it made, whatever their size, and the evaluations it is due."""

from __future__ import annotations

import pytest

from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.pace import Pace


def pace(steps: int, every: int, seconds: float, made: int, *overrides: str, evaluated: int = 0) -> Pace:
    """Of a run that made its first steps in so many seconds each, after two slow ones; `evaluated` in pixels."""
    recipe = load_recipe("pairs", [f"loop.steps={steps}", "schedule.warmup_steps=0", *overrides])
    chosen = Pace(recipe, steps, every, evaluated)
    for step in range(1, made + 1):
        chosen.step(step, 20 * seconds if step < 3 else seconds)
    return chosen


def test_the_rest_takes_as_long_as_the_steps_and_evaluations_that_are_left() -> None:
    chosen = pace(1000, 300, 0.5, 100)
    assert chosen.left(100) == pytest.approx(450)
    chosen.evaluated(10)
    assert chosen.left(100) == pytest.approx(450 + 4 * 10), "after 300, 600, 900 and at the end"
    assert chosen.left(900) == pytest.approx(50 + 10)
    assert chosen.left(1000) == 0


def test_an_evaluation_that_is_to_come_is_estimated_by_its_pixels() -> None:
    """Half of what as many pixels take in training: a batch of four patches of 128 takes half a second."""
    chosen = pace(1000, 300, 0.5, 100, evaluated=100 * 4 * 128**2)
    assert chosen.left(100) == pytest.approx(450 + 4 * 25)
    chosen.evaluated(10)
    assert chosen.left(100) == pytest.approx(450 + 4 * 10), "as timed, once one was"


def test_larger_patches_to_come_are_counted_by_their_pixels() -> None:
    chosen = pace(1000, 1000, 0.5, 100, "sampling.stages=[[0.5, 256, 4]]")
    assert chosen.left(100) == pytest.approx(400 * 0.5 + 500 * 2)


def test_the_time_is_told_once_when_it_is_known() -> None:
    chosen = pace(1000, 300, 0.5, 0, evaluated=8 * 4 * 128**2)
    told = []
    for step in range(1, 101):
        chosen.step(step, 0.5)
        told.append(chosen.announcement(step))
    assert [step for step, line in enumerate(told, 1) if line] == [20], "ten seconds of training"
    assert told[19] == "about 8 min to go: 980 steps of 0.5 s, and evaluations of about 2 s"


def test_slow_steps_are_told_after_the_second_and_short_runs_never() -> None:
    slow = pace(1000, 300, 30.0, 0)
    slow.step(1, 30)
    assert slow.announcement(1) is None
    assert slow.left(1) == 0, "the first is no measure"
    slow.step(2, 30)
    assert slow.announcement(2) == "about 8.3 h to go: 998 steps of 30 s"
    brief = pace(30, 30, 0.5, 25)
    assert brief.announcement(25) is None


def test_evaluations_that_take_much_of_the_time_are_told_once_with_a_remedy() -> None:
    often = pace(1000, 6, 0.5, 10)
    assert often.too_many_evaluations(10) is None, "none was timed"
    often.evaluated(9.0)
    line = often.too_many_evaluations(10)
    assert line is not None
    assert line.startswith("evaluations take 75% of the time: 9 s after 6 steps of 0.5 s;")
    assert line.endswith("--set evaluation.every=200 makes them rarer")
    assert often.too_many_evaluations(16) is None, "told already"
    rare = pace(1000, 100, 0.5, 10)
    rare.evaluated(9.0)
    assert rare.too_many_evaluations(10) is None
    ending = pace(1000, 6, 0.5, 10)
    ending.evaluated(9.0)
    assert ending.too_many_evaluations(994) is None, "nearly over"
