"""What TensorRT says while it builds and loads: to a file, its warnings and errors kept apart."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

MOST_KEPT = 1000
"""Messages of a kind: a process may run for months, and a library may say one with each batch."""
MOST_TOLD = 3
"""In an error of ours: the last word is often less telling than those before it."""


class Log:
    """The one logger of a TensorRT module.

    A module keeps the first logger it meets for the life of the process and ignores all others, so there is one for
    each module, and a build borrows it.
    """

    def __init__(self, trt: Any) -> None:
        self.warnings: deque[str] = deque(maxlen=MOST_KEPT)
        self.errors: deque[str] = deque(maxlen=MOST_KEPT)
        self._heard = threading.local()
        self._file: IO[str] | None = None
        outer, severity = self, trt.ILogger.Severity

        class Logger(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                outer.take(level.name, message, level == severity.WARNING, level in _errors(severity))

        self.logger = Logger()

    def take(self, level: str, message: str, warning: bool, error: bool) -> None:
        """Keep one message."""
        if warning:
            self.warnings.append(message)
        if error:
            self.errors.append(message)
            for heard in getattr(self._heard, "by", ()):
                heard.append(message)
        if self._file:
            self._file.write(f"[{level}] {message}\n")

    def last_error(self) -> str:
        """The last error in one line, or that there was none."""
        return reason(list(self.errors)[-1:])

    @contextlib.contextmanager
    def errors_within(self) -> Iterator[deque[str]]:
        """The errors that are said within the block by the thread that is in it: another may run another lane."""
        heard: deque[str] = deque(maxlen=MOST_KEPT)
        before: tuple[deque[str], ...] = getattr(self._heard, "by", ())
        self._heard.by = (*before, heard)
        try:
            yield heard
        finally:
            self._heard.by = before

    @contextlib.contextmanager
    def recording(self, path: Path | None) -> Iterator[Log]:
        """Start anew, and write to `path` until the end of the block."""
        self.warnings.clear()
        self.errors.clear()
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(path.open("w", encoding="utf-8", buffering=1)) if path else None
            try:
                yield self
            finally:
                self._file = None


def reason(errors: Iterable[str]) -> str:
    """The last of these errors in one line, or that there was none."""
    told = list(dict.fromkeys(" ".join(each.split()) for each in errors))[-MOST_TOLD:]
    return "; ".join(told) or "it gives no reason"


_LOGS: dict[Any, Log] = {}
"""By the library's class of loggers: one library may be imported under two names."""


def log_of(trt: Any) -> Log:
    """The module's one log, for whoever builds, loads or runs with it."""
    if trt.ILogger not in _LOGS:
        _LOGS[trt.ILogger] = Log(trt)
    return _LOGS[trt.ILogger]


def _errors(severity: Any) -> tuple[Any, ...]:
    return severity.ERROR, severity.INTERNAL_ERROR
