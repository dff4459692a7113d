"""Which rounds are compared: those of one state of the machine, and where there are none, nobody is judged."""

from __future__ import annotations

from typing import Any

import pytest

from nafnet.benchmarks.verdict.regression import changes_sheet, compare_results, exit_code, suspects

from .timed import NAMES, baseline, case_of, changed, in_state, regressed, seconds_of, together


def test_what_is_measured_in_a_state_of_the_machine_is_compared_with_that_state_alone(result: Any) -> None:
    fast, slow = in_state(result, 0.006, 1.0), in_state(result, 0.0036, 1.4)
    assert regressed(compare_results(baseline(together(fast, slow)), slow)) == set()
    assert regressed(compare_results(baseline(together(slow, fast)), changed(slow, 1.2, NAMES[1]))) == {NAMES[1]}
    # So are baselines of several files: each may have seen one.
    assert regressed(compare_results(baseline(fast, slow), changed(slow, 1.2, NAMES[1]))) == {NAMES[1]}
    assert not suspects([case_of(fast), case_of(slow)])(seconds_of(slow))
    # What was slower in the fast state alone is found although the slow one hides it.
    both = together(changed(fast, 1.2, NAMES[2]), slow)
    assert regressed(compare_results(baseline(together(fast, slow)), both)) == {NAMES[2]}


def test_a_state_that_no_baseline_has_seen_is_undecided_and_rounds_go_on(result: Any) -> None:
    fast, slow = in_state(result, 0.006, 1.0), in_state(result, 0.0036, 1.4)
    changes = compare_results(baseline(fast), slow)
    assert {change.verdict for change in changes} == {"undecided"}
    assert exit_code(changes) == 4
    assert regressed(changes) == set()
    assert {change.ratio for change in changes} == {None}
    assert "undecided: the machine was never calm" in changes_sheet(changes).title
    suspicious = suspects([case_of(fast)])
    assert suspicious(seconds_of(slow))
    assert not suspicious(seconds_of(together(slow, fast)))
    assert suspicious(seconds_of(together(slow, changed(fast, 1.2, NAMES[1]))))


def test_rounds_in_which_the_state_changes_are_left_out(result: Any) -> None:
    """One of them says by its copy that it is slow, and was fast nearly to its end."""
    fast, slow = in_state(result, 0.006, 1.0), in_state(result, 0.0036, 1.4)
    old = together(fast, slow)
    for name in NAMES:
        seconds_of(old)[name][20] = 0.1
    assert regressed(compare_results(baseline(old), slow)) == set()


def test_copies_that_never_agree_tell_nothing(result: Any) -> None:
    wild = in_state(result, 0.006, 1.0, rounds=60)
    seconds_of(wild)["copy"][::3] = [0.009] * 20  # the median of five is 6 ms throughout
    assert {change.verdict for change in compare_results(baseline(result), wild)} == {"undecided"}


@pytest.mark.parametrize(("copies", "verdict"), [(0.0061 * 1.08, ""), (0.0061 * 1.15, "undecided")])
def test_a_tenth_is_the_copys_noise(result: Any, copies: float, verdict: str) -> None:
    old, new = in_state(result, 0.0061, 1.0), in_state(result, copies, 1.0)
    assert {change.verdict for change in compare_results(baseline(old), new)} == {verdict}


@pytest.mark.parametrize(("then", "now", "verdict"), [(5, 5, ""), (4, 20, "undecided"), (20, 4, "undecided")])
def test_fewer_rounds_than_five_say_nothing(result: Any, then: int, now: int, verdict: str) -> None:
    old, new = in_state(result, 0.006, 1.0, rounds=then), in_state(result, 0.006, 1.0, rounds=now)
    assert {change.verdict for change in compare_results(baseline(old), new)} == {verdict}


def test_a_row_that_only_an_unseen_state_has_timed_is_undecided_alone(result: Any) -> None:
    fast, slow = in_state(result, 0.006, 1.0), in_state(result, 0.0036, 1.4)
    del case_of(fast)["rows"][2]
    changes = compare_results(baseline(fast, slow), in_state(result, 0.006, 1.0))
    assert {change.name: change.verdict for change in changes} == {**dict.fromkeys(NAMES, ""), NAMES[2]: "undecided"}
    assert exit_code(changes) == 4
    # Somebody to blame comes before somebody who cannot be judged.
    changes = compare_results(baseline(fast, slow), changed(in_state(result, 0.006, 1.0), 1.2, NAMES[1]))
    assert exit_code(changes) == 3
