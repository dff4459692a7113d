"""Progress where there is no terminal: lines, the first after five seconds and then ever more rarely."""

from __future__ import annotations

import io
import itertools
import time

from rich.console import Console
from rich.progress import Progress

from nafnet.progress import FIRST, MOST, LineTimes, LoggedProgress, line_of, tracked


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


def test_a_log_gets_lines_and_no_bar(capsys) -> None:  # type: ignore[no-untyped-def]
    """A task of longer than `FIRST` is written; that it took longer is no claim on the machine."""
    with LoggedProgress() as progress:
        progress.add_task("preparing pairs", total=10)
        deadline = time.monotonic() + 60
        said = ""
        while not said and time.monotonic() < deadline:
            time.sleep(FIRST / 10)
            said = capsys.readouterr().out
    assert set(said.splitlines()) == {"preparing pairs: 0 of 10"}


def test_quiet_is_silent(capsys) -> None:  # type: ignore[no-untyped-def]
    with LoggedProgress(quiet=True) as progress:
        assert progress.disable
        assert not progress.writes_lines
        progress.add_task("preparing pairs", total=10)
    assert capsys.readouterr().out == ""
