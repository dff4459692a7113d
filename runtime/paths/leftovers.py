"""Temporary files of runs that are no more, known by the mark alone that each run leaves while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from nafnet.files import PARTIAL_SUFFIX, Lock, lock

_ALIVE = ".alive"
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
        content = {"host": platform.node(), "process": os.getpid(), "folders": self._folders}
        beginning = self._place / f"{self._name}.beginning"
        self._file = beginning.open("xb", buffering=0)
        lock(self._file)  # before others can see it by the name they look for
        self._file.write(json.dumps(content).encode())
        beginning.replace(self._place / f"{self._name}{_ALIVE}")

    def remove_leftovers(self) -> None:
        """Remove the temporary files of every run that left a mark and is dead, and then its mark."""
        for path in sorted(self._place.glob(f"run-*{_ALIVE}")):
            name = path.name.removesuffix(_ALIVE)
            if name == self._name or path.is_symlink() or not path.is_file():
                continue
            # The lock is kept while they are removed: of two that clean, one does.
            with contextlib.suppress(OSError, ValueError), path.open("rb") as file:  # ValueError: names that are none
                content = _content(file)
                if _is_dead(file, content):
                    for leftover in self._leftovers(name, content):
                        leftover.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)

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
            with contextlib.suppress(OSError):
                (self._place / f"{self._name}{_ALIVE}").unlink(missing_ok=True)
            self._file.close()


def _content(file: IO[bytes]) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(file.read(_MOST_BYTES))
        if isinstance(content, dict) and isinstance(content.get("folders"), list):
            return content
    return {}


def _is_dead(file: IO[bytes], content: dict[str, Any]) -> bool:
    """Whether nobody holds the mark; without locks, whether its process is gone from this very machine."""
    state = lock(file)
    if state is not Lock.UNSUPPORTED:
        return state is Lock.OURS
    number = content.get("process")
    if content.get("host") != platform.node() or not isinstance(number, int) or not hasattr(os, "fork"):
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _is_text(value: object) -> bool:
    return isinstance(value, str)
