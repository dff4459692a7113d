"""SHA-256 of data files, remembered by path, size and times, since a data set is tens of gigabytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.progress import Progress

from nafnet.files import cache_folder, file_sha256, write_whole
from nafnet.progress import tracked
from nafnet.train.data.disk import writing


class DigestMemory:
    """Digests of files; `save` keeps them for the next run.

    A file is taken for the one that it was where its size and both its times are the same: that of its content, which a
    copy may set, and that of any change of it, which only the system sets.
    """

    def __init__(self) -> None:
        self._path = cache_folder("digests") / "files.json"
        self._known = self._read()

    def _read(self) -> dict[str, list[int | str]]:
        try:
            known: dict[str, list[int | str]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: they can be made again
            return {}
        return known if isinstance(known, dict) else {}

    def of(self, path: Path) -> str:
        """The digest of a file's bytes, in hexadecimal."""
        state = path.stat()
        now = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
        key = str(path.absolute())
        *before, digest = self._known.get(key) or [""]
        if before != now:
            digest = file_sha256(path)
            self._known[key] = [*now, digest]
        return str(digest)

    def save(self) -> None:
        """Keep what is known, beside what other runs came to know meanwhile."""
        self._known = {**self._read(), **self._known}
        with writing(self._path):
            write_whole(self._path, json.dumps(self._known).encode())


def read_digests(paths: Sequence[Path], progress: Progress, description: str) -> list[str]:
    """Of each file; what was read is remembered even where a run is stopped in the midst of it."""
    memory = DigestMemory()
    try:
        return [memory.of(path) for path in tracked(progress, paths, description)]
    finally:
        memory.save()


def combined(parts: Iterable[str]) -> str:
    """One digest of several strings, each with its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()
