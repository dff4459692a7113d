"""Questions that a process of its own answers: a library that crashes or hangs is an answer, and not the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import tempfile
from typing import IO, Any, Literal

from nafnet.interpreter import module_command
from nafnet.runtime.doctor import probe
from nafnet.runtime.doctor.privacy import quoted
from nafnet.system import SYSTEM

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
    # Files, since a child of the process may keep a pipe open after its end.
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            module_command(probe.__name__, *words),
            stdin=subprocess.DEVNULL, stdout=printed, stderr=errors, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return Answer(ending="hung", facts={}, said=f"no answer in {limit:g} s")
        finally:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    SYSTEM.kill_with_children(process)
                process.wait()
        facts = _answer(printed)
        said = None if code == 0 else f"{SYSTEM.ending(code)}{_last_words(errors)}"
    return Answer(ending="crashed" if facts is None else "answered", facts=facts or {}, said=said)


def _answer(printed: IO[bytes]) -> dict[str, Any] | None:
    """The last line with the mark that is whole."""
    for line in reversed(_lines(printed)):
        with contextlib.suppress(ValueError):
            if line.startswith(probe.MARK):
                found: dict[str, Any] = json.loads(line.removeprefix(probe.MARK))
                return found
    return None


def _last_words(errors: IO[bytes]) -> str:
    words = [line for line in _lines(errors) if line.strip()]
    return f" ({quoted(words[-1])})" if words else ""


def _lines(file: IO[bytes]) -> list[str]:
    file.seek(0)
    return file.read().decode(errors="replace").splitlines()
