"""The stores of prepared images in the cache: what each is of, how large, when it was last used, and which can go.

A store is a folder named by a key of content and preparation, see `pair_store` and `clean_store`. A run holds a lock in
those that it reads, for as long as it lives; such a store is never removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nafnet.errors import UsageError
from nafnet.files import cache_folder, exclusive, write_whole
from nafnet.system import SYSTEM
from nafnet.train.data.disk import writing

PAIRS, CLEAN = "pairs", "clean"
KINDS = (PAIRS, CLEAN)
_NOTE, _HELD, _LOCK = "store.json", ".held-", ".lock"
_INDICES = ("index.jsonl", "index.json")
"""Of the kinds; a folder without one is no store yet."""
_NAME = re.compile(r"[0-9a-f]{32}")


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """While this is open, no other process takes or removes a store of this home; it is never long."""
    while True:
        with exclusive(home / _LOCK) as alone:
            if alone:
                yield
                return
        time.sleep(0.05)


class Hold:
    """A store that a process uses, from now until `close`, or its end, however it ends.

    Args:
        folder: of the store, made if it is not there.

    Raises:
        OutputError: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{_HELD}{secrets.token_hex(8)}"
        with writing(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.parent):
                folder.mkdir(exist_ok=True)
                for left in folder.glob(f"{_HELD}*"):  # by runs that were killed
                    if not _taken(left):
                        SYSTEM.remove(left)
                self._file = self._path.open("wb")
                SYSTEM.close_in_forks(self._file)
                SYSTEM.lock(self._file)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
        SYSTEM.remove(self._path)


def note_use(folder: Path, of: str, part: str, images: int) -> None:
    """Write beside a finished store what it is of; when that was written is when the store was last used."""
    with writing(folder / _NOTE):
        write_whole(folder / _NOTE, json.dumps({"of": of, "part": part, "images": images}).encode())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Store:
    """A store, as it lies there."""

    folder: Path
    kind: str
    of: str
    """Where the images are from, and which part of them."""
    size: int
    """Bytes."""
    used: float
    """When last, as seconds of the epoch."""
    finished: bool

    @property
    def name(self) -> str:
        """As much of the folder's name as a user has to type."""
        return self.folder.name[:10]

    @property
    def held(self) -> bool:
        """Whether a run uses it; what killed runs have left is not taken for one."""
        return any(_taken(path) for path in self.folder.glob(f"{_HELD}*"))


def _taken(path: Path) -> bool:
    try:
        with exclusive(path) as alone:
            return not alone
    except FileNotFoundError:  # let go of meanwhile
        return False


def stores() -> list[Store]:
    """All stores in the cache, the last used first."""
    found = []
    for kind in KINDS:
        for folder in cache_folder(kind).iterdir():
            if _NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                found.append(_store(folder, kind))
    return sorted(found, key=lambda store: -store.used)


def _store(folder: Path, kind: str) -> Store:
    try:
        note: dict[str, Any] = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        of = f"{note['of']}: {note['part']}"
    except (OSError, ValueError, KeyError, TypeError):
        of = "unknown: unfinished, or made by an earlier version"
    states = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile
            states.append((path.name, path.stat()))
    times = {name: state.st_mtime for name, state in states if not name.startswith(".")}
    return Store(
        folder=folder, kind=kind, of=of, size=sum(state.st_size for _, state in states),
        used=times.get(_NOTE) or max(times.values(), default=folder.stat().st_mtime),
        finished=any(name in times for name in _INDICES),
    )  # fmt: skip


def named(names: tuple[str, ...]) -> list[Store]:
    """The stores of these names, or of names that begin so.

    Raises:
        UsageError: none has, or several have.
    """
    found, chosen = stores(), []
    for name in names:
        meant = [store for store in found if store.folder.name.startswith(name)]
        if len(meant) != 1:
            which = "no store" if not meant else f"{len(meant)} stores"
            raise UsageError(f"--remove {name}: {which} of that name; `nafnet-train cache` lists them")
        chosen += meant
    return chosen


def remove(store: Store) -> bool:
    """Remove a store; False where a run uses it, and it stays.

    Raises:
        OSError: the disk refuses.
    """
    with _alone(store.folder.parent):
        if store.held:
            return False
        for name in _INDICES:  # first: what is half removed is no store
            SYSTEM.remove(store.folder / name)
        shutil.rmtree(store.folder)
    return True
