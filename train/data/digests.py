"""SHA-256 of data files, remembered by path, size and time of change, since a data set is tens of gigabytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from nafnet.files import cache_folder, file_sha256, write_whole


class DigestMemory:
    """Digests of files; `save` keeps them for the next run."""

    def __init__(self) -> None:
        self._path = cache_folder("digests") / "files.json"
        try:
            self._known: dict[str, list[int | str]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: they can be made again
            self._known = {}

    def of(self, path: Path) -> str:
        """The digest of a file's bytes, in hexadecimal."""
        state = path.stat()
        key = str(path.absolute())
        size, changed, digest = self._known.get(key, (0, 0, ""))
        if (size, changed) != (state.st_size, state.st_mtime_ns):
            digest = file_sha256(path)
            self._known[key] = [state.st_size, state.st_mtime_ns, digest]
        return str(digest)

    def save(self) -> None:
        """Keep what is known."""
        write_whole(self._path, json.dumps(self._known).encode())


def combined(parts: Iterable[str]) -> str:
    """One digest of several strings, each with its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
