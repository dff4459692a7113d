"""Files that are whole or not there, and the folder for what can be made again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from nafnet.errors import UsageError
from nafnet.system import SYSTEM, Lock

CACHE_VARIABLE = "NAFNET_CACHE"
_CACHE = "nafnet-toolchain"
PARTIAL_SUFFIX = ".partial"


_START_BYTES = 60  # of a file's name that its temporary file shows; names end at 255 bytes

Place = Callable[[Path, Path], None]
"""Gives a finished temporary file its name."""


def temporary_beside(path: Path, tag: str = "", kind: str = "") -> Path:
    """A new hidden name in the folder of `path`, of at most 255 bytes.

    It ends in .partial: a process that is killed leaves a name that nobody takes for a result, and by `tag`, which
    stands in it, its owner can find it later.
    """
    start = path.name.encode(errors="ignore")[:_START_BYTES].decode(errors="ignore")
    return path.with_name(f".{start}.{tag}{secrets.token_hex(4)}{kind}{PARTIAL_SUFFIX}")


def open_bytes(path: Path, flags: int, mode: int = 0o666) -> int:
    """As `os.open`; what is written through it is what the file gets, where text would have its line ends changed."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0), mode)


@contextlib.contextmanager
def whole_file(path: Path, tag: str = "", *, place: Place = SYSTEM.replace, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on any error it is removed.

    The temporary file is flushed to the disk before it is placed, so a crash leaves the old file or the new one.

    Args:
        path: what the file is to be called.
        tag: see `temporary_beside`.
        place: gives the file its name; by default it replaces what is there.
        mode: permissions of the file, of which the process's umask takes some away.
    """
    temporary = temporary_beside(path, tag)
    try:
        os.close(open_bytes(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield temporary
        with temporary.open("rb+") as file:
            SYSTEM.sync(file)
        place(temporary, path)
    finally:
        SYSTEM.remove(temporary)


def place_new(temporary: Path, path: Path) -> None:
    """Rename to a name that is free; unlike `System.replace` it never takes somebody else's place, not even in a race.

    A second name is made with `os.link`, which fails where there is a file. Where the file system has no links, as
    FAT, the name is taken first by an empty file, which only one can make; there a crash may leave it empty.

    Raises:
        FileExistsError: the name is taken.
    """
    if SYSTEM.renames_to_free_names_alone:
        SYSTEM.move(temporary, path)
        return
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(open_bytes(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        SYSTEM.replace(temporary, path)


_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def check_writable(option: str, path: Path) -> None:
    """Raise UsageError unless a file can be made beside `path`, which `option` names: before the work, not after it."""
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written ({error.strerror or error}); choose another") from error


def write_whole(path: Path, data: bytes, *, place: Place = SYSTEM.replace) -> None:
    """Write `data` to `path`, whole or not at all; see `whole_file`."""
    with whole_file(path, place=place) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock by the name of `path` while this is open; says whether nobody else has it, as far as that is known.

    Processes that are forked meanwhile do not keep it when this one is killed.
    """
    with path.open("wb") as file:
        SYSTEM.close_in_forks(file)
        yield SYSTEM.lock(file) is not Lock.TAKEN


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(purpose: str) -> Path:
    """A folder for files that can be made again: $NAFNET_CACHE, else where the system has such, as ~/.cache.

    Where there is no home, or it cannot be written, as for the unknown user of a container, it is a folder of the
    user's own among the temporary ones.

    Raises:
        UsageError: none of these can be written.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    for base in (Path(chosen),) if chosen else _cache_bases():
        folder = base / purpose
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    where = f"{CACHE_VARIABLE}={chosen}" if chosen else "home, nor the temporary folder,"
    raise UsageError(f"no cache: {where} can be written; set {CACHE_VARIABLE} to a folder that can")


def _cache_bases() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # there is no home; older versions then give a path that begins with ~
        usual = platformdirs.user_cache_path(_CACHE, appauthor=False)
        if usual.is_absolute():
            yield usual
    with contextlib.suppress(OSError):  # not even a temporary folder
        ours = Path(tempfile.gettempdir(), f"{_CACHE}-{SYSTEM.user}")
        ours.mkdir(mode=0o700, exist_ok=True)
        # Everybody may write there: a folder that somebody else laid out for us is not taken.
        if SYSTEM.is_own(ours):
            yield ours
