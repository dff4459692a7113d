"""Files that are whole or not there, and the folder for what can be made again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nafnet.errors import UsageError

try:
    import fcntl
except ImportError:  # where there is none, two runs at once are the user's to avoid
    fcntl = None  # type: ignore[assignment]  # a module, where there is one

CACHE_VARIABLE = "NAFNET_CACHE"
PARTIAL_SUFFIX = ".partial"


@contextlib.contextmanager
def whole_file(path: Path, tag: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on any error it is removed.

    The temporary file is flushed to the disk before the rename, so a crash leaves the old file or the new one.
    It is hidden and ends in .partial: a process killed in between leaves a name that nobody takes for a result, and
    by `tag`, which stands in it, its owner can find it later.
    """
    temporary = path.with_name(f".{path.name[:60]}.{tag}{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(option: str, path: Path) -> None:
    """Raise UsageError unless a file can be made beside `path`, which `option` names: before the work, not after it."""
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written ({error.strerror or error}); choose another") from error


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def lock(file: IO[bytes]) -> bool:
    """Lock until the file is closed or the process ends, however it ends; says whether nobody else has."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock by the name of `path` while this is open; says whether nobody else has it.

    Processes that are forked meanwhile do not keep it when this one is killed.
    """
    with path.open("wb") as file:
        os.register_at_fork(after_in_child=file.close)
        yield lock(file)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(purpose: str) -> Path:
    """A folder for files that can be made again: $NAFNET_CACHE, else $XDG_CACHE_HOME, else ~/.cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        base = Path(chosen)
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nafnet-toolchain"
    folder = base / purpose
    folder.mkdir(parents=True, exist_ok=True)
    return folder
