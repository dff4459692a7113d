"""Progress where there is no terminal: lines, the first after five seconds and then ever more rarely."""

from __future__ import annotations

import io
import itertools
import threading
import time

import pytest
from rich.console import Console
from rich.progress import Progress

from nafnet import progress as progress_module
from nafnet.progress import MOST, LineTimes, LoggedProgress, line_of, tracked
from tests.processes import GUARD


def test_lines_come_ever_more_rarely_and_anew_for_each_task() -> None:
    times = LineTimes()
    at = [now for now in range(400) if times.due(1, float(now))]
    assert at[:5] == [5, 15, 35, 75, 135]
    assert max(later - earlier for earlier, later in itertools.pairwise(at)) == MOST
    assert [now for now in range(400, 420) if times.due(2, float(now))] == [405, 415]


def test_a_line_says_what_is_done_and_what_is_left() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    task = progress.add_task("checking train", total=1200)
    progress.update(task, completed=300)
    assert line_of(progress.tasks[0]) == "checking train: 300 of 1,200"
    progress.update(task, left=600.0)
    assert line_of(progress.tasks[0]) == "checking train: 300 of 1,200, 10 min left"
    progress.add_task("waiting for another run", total=None)
    assert line_of(progress.tasks[1]) == "waiting for another run"


def test_what_is_tracked_has_a_task_while_it_lasts() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    seen = []
    for item in tracked(progress, "abc", "reading"):
        seen.append((item, progress.tasks[0].description, progress.tasks[0].completed))
    assert seen == [("a", "reading", 0), ("b", "reading", 1), ("c", "reading", 2)]
    assert not progress.tasks


def test_a_log_gets_lines_and_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress_module, "FIRST", 0.0)
    said, given_up = "", time.monotonic() + GUARD
    with LoggedProgress() as progress:
        progress.add_task("preparing pairs", total=10)
        while not said:
            assert time.monotonic() < given_up
            time.sleep(0.05)
            said = capsys.readouterr().out
    said += capsys.readouterr().out
    assert set(said.splitlines()) == {"preparing pairs: 0 of 10"}


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_is_silent(quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is drawn, and nobody is there who would write."""
    writing = threading.Event()
    monkeypatch.setattr(LoggedProgress, "_write", lambda _: writing.set())
    with LoggedProgress(quiet=quiet) as progress:
        progress.add_task("preparing pairs", total=10)
        assert writing.wait(0 if quiet else GUARD) is not quiet
    assert capsys.readouterr().out == ""
