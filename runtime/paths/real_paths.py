"""Paths by one name each, however they are reached."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def folded(name: str) -> str:
    """A name as file systems compare it that know neither case nor how an accent is composed, or coarser."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())


class RealPaths:
    """Folders by one name each: without links, and the same for a folder that is mounted twice, or whose file system
    knows no case. Each is asked for once, as there may be many files in it.

    Args:
        first: folders whose names are kept.
    """

    def __init__(self, first: Iterable[Path]) -> None:
        self._known: dict[Path, Path] = {}
        self._by_identity: dict[tuple[int, int], Path] = {}
        for folder in first:
            self(folder)

    def __call__(self, folder: Path) -> Path:
        if folder not in self._known:
            self._known[folder] = self._named(Path(os.path.realpath(folder)))
        return self._known[folder]

    def _named(self, folder: Path) -> Path:
        if folder in self._known:
            return self._known[folder]
        above = self._named(folder.parent) / folder.name if folder != folder.parent else folder
        try:
            state = folder.stat()
        except OSError:  # it will be made
            return above
        self._known[folder] = self._by_identity.setdefault((state.st_dev, state.st_ino), above)
        return self._known[folder]

    def of(self, path: Path) -> Path:
        """A file in its real folder. A link in its own place is not followed: it is what would be replaced."""
        return self(path.parent) / path.name
