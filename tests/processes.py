"""Processes that tests start and disturb: at moments that are named, not timed, and none is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import psutil
from click.testing import CliRunner

from nafnet.system import SYSTEM
from tests.platforms import WINDOWS

GUARD = 600.0
"""Seconds after which a wait is given up: a guard against hanging, and no measure of speed."""
HOOK = Path(__file__).with_name("hold")
"""Of the file that Python runs first in a process that is to be held."""


def _hear_ctrl_c() -> None:
    """A test run in the background of a shell has SIGINT ignored, which its children inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def running(words: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process in a group of its own, which hears Ctrl-C; where the block leaves it running, it and its children are
    killed."""
    with subprocess.Popen(words, **_own_group(), **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                SYSTEM.kill_with_children(process)


def _own_group() -> dict[str, Any]:
    return {} if WINDOWS else {"start_new_session": True, "preexec_fn": _hear_ctrl_c}


def wait_until(condition: Callable[[], object], process: subprocess.Popen[Any]) -> None:
    """Wait for what a process is to bring about.

    Raises:
        AssertionError: the process ended without, or `GUARD` is over.
    """
    given_up = time.monotonic() + GUARD
    while not condition():
        assert process.poll() is None, "the process ended before it could be disturbed"
        assert time.monotonic() < given_up
        time.sleep(0.005)


@dataclasses.dataclass(frozen=True)
class Hold:
    """A moment at which a process stops, however fast the machine is, so that it can be disturbed there.

    On Windows, which has no SIGSTOP, the thread stops that comes to the moment; those beside it go on.

    Args:
        mark: a file that is not there yet; the process makes it.
        count: the moment is right before so many files have been
        pattern: renamed to paths in which this is found, written with slashes.
    """

    mark: Path
    count: int
    pattern: str

    @property
    def environment(self) -> dict[str, str]:
        """Of the process, and of those that it starts: the first that comes to the moment is held."""
        path = os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH"))))
        moment = f"{self.count} {self.pattern}"
        return {**os.environ, "PYTHONPATH": path, "HOLD_AT": moment, "HOLD_FILE": str(self.mark)}

    def wait(self, process: subprocess.Popen[Any]) -> int:
        """Until a process is held, `process` or one below it; returns its number."""
        wait_until(self._is_held, process)
        return int(self.mark.read_text(encoding="ascii"))

    def release(self) -> None:
        """Let the process go on."""
        number = int(self.mark.read_text(encoding="ascii"))
        if WINDOWS:
            self.mark.unlink()  # which the process waits for
        else:
            psutil.Process(number).send_signal(signal.SIGCONT)

    def _is_held(self) -> bool:
        number = self.mark.read_text(encoding="ascii") if self.mark.exists() else ""
        return bool(number) and (WINDOWS or _state(int(number)) == psutil.STATUS_STOPPED)


def _state(number: int) -> str | None:
    """Of a process, as psutil names it; None where there is none."""
    try:
        return psutil.Process(number).status()
    except psutil.NoSuchProcess:
        return None


def has_ended(number: int) -> bool:
    """Whether a process is no more, or waits only for its parent to hear of it."""
    return _state(number) in (None, psutil.STATUS_ZOMBIE)


def kill(number: int) -> None:
    """End a process, which may be a child of this one, and wait until it has ended."""
    psutil.Process(number).kill()
    # A child is a zombie for psutil as soon as its first thread has ended, and can be waited for when all have.
    with contextlib.suppress(AttributeError, ChildProcessError):
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)
    given_up = time.monotonic() + GUARD
    while not has_ended(number):
        assert time.monotonic() < given_up
        time.sleep(0.005)


def suspend(number: int) -> None:
    """Stop a process, until `resume` or its end."""
    psutil.Process(number).suspend()


def resume(number: int) -> None:
    """Let it go on."""
    psutil.Process(number).resume()


def wait_until_ended(number: int) -> None:
    """Wait for a process that was killed and is nobody's child here."""
    given_up = time.monotonic() + GUARD
    while not has_ended(number):
        assert time.monotonic() < given_up
        time.sleep(0.005)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that ran in this process."""

    returncode: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """What a command does upon a signal is not for the tests after it."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def in_this_process(command: click.Command, name: str, *arguments: str | Path, cwd: Path | None = None) -> Ended:
    """A command as a process would run it, where a process of its own, which loads PyTorch anew, would show no more."""
    with contextlib.chdir(cwd or Path.cwd()), _signals_kept():
        # PYTHONSAFEPATH, which a command sets for its children, is not for those of other tests.
        kept = {"PYTHONSAFEPATH": os.environ.get("PYTHONSAFEPATH")}
        result = CliRunner(env={"COLUMNS": "200", **kept}).invoke(
            command, [str(word) for word in arguments], prog_name=name
        )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)
