"""Temporary files of runs that are no more, known by the mark alone that each run leaves while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from nafnet.files import PARTIAL_SUFFIX
from nafnet.system import SYSTEM, Lock

_ALIVE = ".alive"
_YOUNG = 3600.0
"""Seconds after which a mark without content is of a run that died before it wrote any."""
_MOST_BYTES = 2**26
"""Of a mark: a folder takes some hundred."""


class RunMark:
    """A file that a run holds locked while it lives; its name stands in the names of the run's temporary files.

    Each run has its own, so that looking at one that is dead disturbs none that begins.

    Args:
        place: folder of the marks.
        root: the output folder; of other runs' leftovers, those inside it are removed.
    """

    def __init__(self, place: Path, root: Path) -> None:
        self._place, self._root = place, root
        self._name = f"run-{secrets.token_hex(6)}"
        self._folders: list[str] = []
        self._file: IO[bytes] | None = None

    @property
    def tag(self) -> str:
        """Goes into the names of this run's temporary files."""
        return f"{self._name}-"

    def open(self, folders: Iterable[Path]) -> None:
        """Leave the mark.

        Args:
            folders: that this run may have temporary files in.
        """
        self._folders = sorted({os.path.realpath(folder) for folder in folders})
        content = {"host": socket.gethostname(), "process": os.getpid(), "folders": self._folders}
        # Locked before it has content, so that whoever reads it finds it held: an empty one is looked at by nobody.
        self._file = (self._place / f"{self._name}{_ALIVE}").open("xb", buffering=0)
        SYSTEM.lock(self._file)
        self._file.write(json.dumps(content).encode())

    def remove_leftovers(self) -> None:
        """Remove the temporary files of every run that left a mark and is dead, and then its mark."""
        for path in sorted(self._place.glob(f"run-*{_ALIVE}")):
            name = path.name.removesuffix(_ALIVE)
            if name == self._name or path.is_symlink() or not path.is_file():
                continue
            with contextlib.suppress(OSError, ValueError):  # ValueError: names that are none
                # The lock is kept while they are removed: of two that clean, one does.
                with path.open("rb") as file:
                    content = _content(file)
                    if _is_begun(file) or not _is_dead(file, content):
                        continue
                    for leftover in self._leftovers(name, content):
                        SYSTEM.remove(leftover)
                SYSTEM.remove(path)  # which Windows refuses while it is open

    def _leftovers(self, name: str, content: dict[str, Any]) -> Iterator[Path]:
        owned = re.compile(rf"\.{re.escape(name)}-[0-9a-f]{{8}}(?:\.raw)?{re.escape(PARTIAL_SUFFIX)}$")
        root = Path(os.path.realpath(self._root))
        for folder in {*self._folders, *filter(_is_text, content.get("folders", []))}:
            # A mark is only a file: what it names outside of this run's folders is not believed.
            with contextlib.suppress(OSError, ValueError):
                if folder in self._folders or Path(os.path.realpath(folder)).is_relative_to(root):
                    yield from (path for path in Path(folder).iterdir() if owned.search(path.name))

    def close(self) -> None:
        """Take the mark away: this run has no temporary files any more."""
        if self._file:
            self._file.close()
            with contextlib.suppress(OSError):
                SYSTEM.remove(self._place / f"{self._name}{_ALIVE}")


def _content(file: IO[bytes]) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        # Of its length: room for the most is laid out first, and that takes long where there are many marks.
        content = json.loads(file.read(min(os.fstat(file.fileno()).st_size, _MOST_BYTES)))
        if isinstance(content, dict) and isinstance(content.get("folders"), list):
            return content
    return {}


def _is_begun(file: IO[bytes]) -> bool:
    """Whether a mark is just being made: to lock it would be to take it from its run."""
    state = os.fstat(file.fileno())
    return state.st_size == 0 and time.time() - state.st_mtime < _YOUNG


def _is_dead(file: IO[bytes], content: dict[str, Any]) -> bool:
    """Whether nobody holds the mark; without locks, whether its process is gone from this very machine."""
    state = SYSTEM.lock(file)
    if state is not Lock.UNSUPPORTED:
        return state is Lock.OURS
    number = content.get("process")
    if content.get("host") != socket.gethostname() or not isinstance(number, int):
        return False
    import psutil

    with contextlib.suppress(OverflowError):
        return not psutil.pid_exists(number)
    return False


def _is_text(value: object) -> bool:
    return isinstance(value, str)
