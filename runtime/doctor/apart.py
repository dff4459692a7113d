"""Questions that a process of its own answers: a library that crashes or hangs is an answer, and not the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import threading
from typing import IO, Any, Literal

from nafnet.interpreter import module_command
from nafnet.runtime.doctor import probe
from nafnet.runtime.doctor.privacy import quoted
from nafnet.system import SYSTEM

AFTERWARDS = 5.0
"""Seconds after the end of a process for which its pipes are read on, where somebody else holds them open."""
Ending = Literal["answered", "crashed", "hung"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a question."""

    ending: Ending
    facts: dict[str, Any]
    """As `probe` has it; nothing where there was no answer."""
    said: str | None = None
    """How the process ended, where it did not end well, and its last words."""


def ask(*words: str, limit: float) -> Answer:
    """Have `probe` answer a question.

    Args:
        words: the question's name, and what it is about.
        limit: seconds after which the process is killed, with all that it started.
    """
    process, line = SYSTEM.start_with_socket(
        module_command(probe.__name__, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    printed, errors = _Heard(process.stdout), _Heard(process.stderr)
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        return Answer(ending="hung", facts={}, said=f"no answer in {limit:g} s")
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                SYSTEM.kill_with_children(process)
            process.wait()
        line.close()
    facts = _answer(printed.lines())
    said = None if code == 0 else f"{SYSTEM.ending(code)}{_last_words(errors.lines())}"
    return Answer(ending="crashed" if facts is None else "answered", facts=facts or {}, said=said)


class _Heard:
    """What a process writes into a pipe, which children of it may keep open after its end.

    Args:
        pipe: is read to its end, and closed then.
    """

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._read: list[bytes] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with self._pipe:
            for line in self._pipe:
                self._read.append(line)  # at once: whoever asks may not wait for the end

    def lines(self) -> list[str]:
        """Of a process that has ended: what it wrote."""
        self._thread.join(AFTERWARDS)
        return b"".join(self._read).decode(errors="replace").splitlines()


def _answer(lines: list[str]) -> dict[str, Any] | None:
    """Of the last line with the mark that is whole."""
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            if line.startswith(probe.MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(probe.MARK))
                return found
    return None


def _last_words(lines: list[str]) -> str:
    words = [line for line in lines if line.strip()]
    return f" ({quoted(words[-1])})" if words else ""
