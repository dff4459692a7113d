"""`nafnet-train cache`: the stores of prepared images, and their removal."""

from __future__ import annotations

import shutil
import time

from rich.table import Table

from nafnet.errors import OutputError, UsageError
from nafnet.files import cache_folder
from nafnet.progress import PlainConsole
from nafnet.train.data.stores import PAIRS, Store, named, remove, stores
from nafnet.words import counted, in_bytes, lasting

_DAY = 86400


def print_cache(names: tuple[str, ...], older: int | None, *, everything: bool) -> int:
    """List the stores, or remove some; returns the exit code, 1 where one that was named stays, for a run uses it.

    Args:
        names: of stores to remove, or how they begin.
        older: remove those that were last used so many days ago or earlier.
        everything: remove all that no run uses.

    Raises:
        UsageError: more than one of these, or no store of that name.
        OutputError: one cannot be removed.
    """
    if sum(map(bool, (names, older is not None, everything))) > 1:
        raise UsageError("--remove, --older-than and --all exclude each other; give one")
    console = PlainConsole()
    if not (names or older is not None or everything):
        _list(console)
        return 0
    before = time.time() - (older or 0) * _DAY
    chosen = named(names) if names else [store for store in stores() if everything or store.used <= before]
    gone = [store for store in chosen if _removed(store, console)]
    left = len(chosen) - len(gone)
    kept = f"; kept {counted(left, 'store')} in use" if left else ""
    total = in_bytes(sum(store.size for store in gone))
    console.print(f"removed {counted(len(gone), 'store')}, {total}{kept}", soft_wrap=True)
    return 1 if names and left else 0


def _removed(store: Store, console: PlainConsole) -> bool:
    try:
        gone = remove(store)
    except OSError as error:
        raise OutputError(
            f"{store.folder}: cannot be removed ({error.strerror or error}); remove the folder by hand"
        ) from error
    said = "removed" if gone else "kept, for a run uses it:"
    console.print(f"{said} {store.name}, {in_bytes(store.size)} ({store.of})", soft_wrap=True)
    return gone


def _list(console: PlainConsole) -> None:
    found, home = stores(), cache_folder(PAIRS).parent
    if found:
        table = Table("name", "kind", "of", "size", "last used", title=str(home))
        for store in found:
            table.add_row(store.name, store.kind, _of(store), in_bytes(store.size), _when(store))
        console.print(table)
    total, free = sum(store.size for store in found), shutil.disk_usage(home).free
    console.print(
        f"{counted(len(found), 'store')}, {in_bytes(total)} in {home}; {in_bytes(free)} are free", soft_wrap=True
    )
    if found:
        console.print("all can be made again: --remove NAME, --older-than DAYS or --all takes them away")


def _of(store: Store) -> str:
    return store.of if store.finished else f"{store.of} (unfinished)"


def _when(store: Store) -> str:
    return "in use" if store.held else f"{lasting(time.time() - store.used)} ago"
