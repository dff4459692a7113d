"""Progress as it is drawn: when a log gets a line, what is in it, and what a terminal is left with."""

from __future__ import annotations

import io
import os
import re
import sys
import termios
import time
from collections.abc import Callable

import pytest

from nafnet.steps import Display, Pace
from tests.processes import GUARD


def test_a_log_is_silent_for_what_is_short() -> None:
    pace = Pace(0)
    for second in range(4):
        pace.step(f"step {second}", second, 4, second)
        assert pace.due(second + 0.9) is None
    assert pace.due(Pace.EVERY) == "step 3, about 1 s left"


def test_a_log_gets_a_line_now_and_then() -> None:
    pace = Pace(0)
    told = []
    for second in range(20):
        pace.step(f"step {second}", second, 20, second)
        told.append(pace.due(second + 0.5))
    lines = [line for line in told if line]
    assert lines == ["step 4, about 16 s left", "step 8, about 12 s left", "step 12, about 8 s left",
                     "step 16, about 4 s left"]  # fmt: skip


def test_what_lasts_is_said_again_rarely_with_the_time_it_took() -> None:
    pace = Pace(0)
    pace.step("thinking", 0, 0, 1)
    lines = {second: line for second in range(70) if (line := pace.due(second))}
    assert lines == {4: "thinking", 34: "thinking, 33 s so far", 64: "thinking, 63 s so far"}


def test_what_was_printed_otherwise_breaks_the_silence_too() -> None:
    pace = Pace(0)
    pace.step("thinking", 0, 0, 0)
    pace.spoke(3)
    assert [pace.due(second) for second in (5, 6.9, 7)] == [None, None, "thinking"]


def test_time_left_is_of_the_work_at_hand() -> None:
    pace = Pace(0)
    pace.step("slow", 5, 10, 100)
    pace.step("a: 1", 0, 8, 100)
    pace.step("a: 2", 1, 8, 108)
    assert pace.time(108, spent=False) == "", "one step is too little to tell by"
    pace.step("a: 3", 4, 8, 110)
    assert pace.time(110, spent=False) == ", about 10 s left"
    assert pace.time(114, spent=False) == ", about 6 s left", "it counts down while a step lasts"
    assert pace.time(190, spent=False) == ", about 1 s left"
    pace.step("a: 8", 7.9, 8, 410)
    pace.step("b", 0, 8, 411)
    assert pace.time(415, spent=True) == ", 4 s so far", "counting began anew"
    pace.step("b", 2, 8, 611)
    assert pace.time(611, spent=False) == ", about 10 min left"


def test_a_log_has_whole_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits here for a clock: the interval is none, and the thread is waited for."""
    monkeypatch.setattr(Pace, "EVERY", 0.0)
    log, out = io.StringIO(), io.StringIO()
    with Display(log, lines=out) as display:
        display.step("first", 0, 2)
        _wait_until(lambda: "first" in log.getvalue())
        display.say("a result")
        display.step("second", 1, 2)
        _wait_until(lambda: "second" in log.getvalue())
    assert re.fullmatch(r"first\nsecond(, about \d+ s left)?\n", log.getvalue())
    assert out.getvalue() == "a result\n"


def test_quiet_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "EVERY", 0.0)
    log = io.StringIO()
    with Display(log, quiet=True) as display:
        display.step("first", 0, 2)
    assert log.getvalue() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(("term", "moves"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_a_line_that_goes_away(term: str, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "100")
    mine, theirs = os.openpty()
    termios.tcsetwinsize(mine, (24, 100))
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal, os.fdopen(mine, "rb", buffering=0) as screen:
        with Display(terminal, lines=terminal) as display:
            display.step("comparison 1 of 2", 0, 2)
            display.say("a result")
            display.step("comparison 2 of 2", 1, 2)
        terminal.write("END")
        terminal.flush()
        drawn = b""
        while not drawn.endswith(b"END"):
            drawn += screen.read(4096)
    text = drawn.decode()
    assert ("\x1b" in text) == moves
    assert ("comparison 1 of 2" in text and "comparison 2 of 2" in text) == moves
    left = _screen(text)
    assert [line for line in left if line.strip()] == ["a result", "END"]


def _screen(text: str) -> list[str]:
    """What a terminal shows after all of it: lines, returns, a line up, a line erased; colours aside."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            row -= int(up[1] or 1)
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return lines


def _wait_until(condition: Callable[[], bool]) -> None:
    given_up = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < given_up, "it never came"
        time.sleep(0.01)
