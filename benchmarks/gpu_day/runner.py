"""Steps one after the other, each a process of its own: what breaks CUDA's state, or dies, ends with its step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from nafnet.benchmarks.report.day import Entry
from nafnet.steps import OnStep
from nafnet.system import SYSTEM

COMMANDS = {
    "nafnet-export": "nafnet.export.cli", "nafnet-run": "nafnet.runtime.cli", "nafnet-bench": "nafnet.benchmarks.cli",
}  # fmt: skip
"""Ours, by the module that holds `main`: what is on the PATH may be of another environment."""
KEPT = 120
"""Last lines of a step's output that the result has; all of it lies in the step's log."""
_LOOK = 0.2


class NothingToDoError(Exception):
    """What a step needs is not there, for the step that makes it failed; the message says what."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do."""

    group: str
    """Its heading on the page."""
    title: str
    words: Callable[[], Sequence[str | Path]]
    """The command, asked for when it is its turn. Raises NothingToDoError."""
    result: Path | None = None
    """The result of nafnet-bench that it writes, if it does."""


def run_step(step: Step, log: Path, limit: float, place: str, on_step: OnStep) -> Entry:
    """Run it to its end, to its failure, or for `limit` seconds.

    Args:
        log: the file that takes all it prints.
        place: in words, as "2 of 9".
        on_step: told its last line a few times a second.
    """
    entry = Entry(
        group=step.group, title=step.title, command="", status="done", seconds=0.0, output="", error=None,
        result=str(step.result) if step.result else None,
    )  # fmt: skip
    started = time.perf_counter()
    try:
        words = [str(word) for word in step.words()]
        entry["command"] = shlex.join(words)
        title = f"{place}: {step.title}"
        code, lines = _watched(_program(words), log, started + limit, lambda line: on_step(f"{title}{line}", 0, 0))
        entry["output"] = "\n".join(lines)
        if code is None:
            entry["error"] = f"no end within {limit / 60:g} minutes"
        elif code:
            said = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
            entry["error"] = f"{SYSTEM.ending(code)}: {said.strip()}"
    except NothingToDoError as missing:
        entry["status"], entry["error"] = "skipped", str(missing)
    except OSError as error:
        entry["error"] = f"{error.filename or step.title}: {error.strerror or error}"
    if entry["error"] and entry["status"] == "done":
        entry["status"] = "failed"
    entry["seconds"] = round(time.perf_counter() - started, 2)
    return entry


def _program(words: list[str]) -> list[str]:
    if words[0] not in COMMANDS:
        return words
    return [
        sys.executable,
        "-P",
        "-c",
        f"from {COMMANDS[words[0]]} import main; main(prog_name={words[0]!r})",
        *words[1:],
    ]


def _watched(
    words: Sequence[str], log: Path, until: float, look: Callable[[str], None]
) -> tuple[int | None, list[str]]:
    """(exit code, or None past the time; the last lines)."""
    began = time.perf_counter()
    lines: deque[str] = deque(maxlen=KEPT)
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True,
        errors="replace", start_new_session=True,
    )  # fmt: skip

    def read() -> None:
        assert process.stdout is not None
        with log.open("w", encoding="utf-8") as file:
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while process.poll() is None and time.perf_counter() < until:
            last = next((line.strip() for line in reversed(list(lines)) if line.strip()), "")
            # With the seconds no two lines are the same, so that a log never waits for news.
            look(f", {time.perf_counter() - began:.0f} s{': ' + last[:100] if last else ''}")
            time.sleep(_LOOK)
        code = process.poll()
    finally:
        _end(process)
        reader.join(timeout=5)  # a grandchild may hold the pipe
    return code, list(lines)


def _end(process: subprocess.Popen[str]) -> None:
    """What it started as well: after its time, on Ctrl-C, which does not reach it, and where it left some behind."""
    with contextlib.suppress(OSError):
        SYSTEM.kill_with_children(process)
        process.wait()
