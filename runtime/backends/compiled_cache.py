"""Models as OpenVINO compiled them, kept from one run to the next.

OpenVINO has such a cache, but trusts what lies there: a flipped byte gives another picture and no error. So each
compiled model has a folder of its own with the SHA-256 of what is in it, made aside and renamed when whole, and one
that does not match is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.files import cache_folder, file_sha256
from nafnet.system import SYSTEM

MOST_BYTES = 2 * 2**30
"""Of all that is kept; what was not used for longest goes first."""
_SEAL = "sha256"


@contextlib.contextmanager
def compiled_folder(*key: object) -> Iterator[Path | None]:
    """A folder for OpenVINO's CACHE_DIR: a whole one of an earlier run, or an empty one, which is kept after no error.

    Args:
        key: all that decides what is compiled.

    Yields:
        None where nothing can be kept.
    """
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    try:
        base = cache_folder("openvino")
        kept = base / name
        if _is_whole(kept):
            os.utime(kept)
            folder, aside = kept, None
        else:
            folder = aside = Path(tempfile.mkdtemp(prefix=".", dir=base))
    except (OSError, UsageError):
        yield None
        return
    try:
        yield folder
        if aside is not None:
            _keep(aside, kept)
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def forget(folder: Path) -> None:
    """Remove what turned out to be of no use."""
    shutil.rmtree(folder, ignore_errors=True)


def _keep(aside: Path, kept: Path) -> None:
    """Seal it and give it its name; a disk that refuses, or another process that was faster, is no error."""
    with contextlib.suppress(OSError):
        (aside / _SEAL).write_text(_digest(aside), encoding="ascii")
        shutil.rmtree(kept, ignore_errors=True)
        SYSTEM.move(aside, kept)
        _prune(kept.parent)


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / _SEAL).read_text(encoding="ascii") == _digest(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _digest(folder: Path) -> str:
    """Of the names and bytes of all files but the seal; there must be one."""
    files = sorted(path for path in folder.iterdir() if path.name != _SEAL)
    if not files:
        raise FileNotFoundError(folder)
    return hashlib.sha256("".join(f"{path.name} {file_sha256(path)}\n" for path in files).encode()).hexdigest()


def _prune(base: Path) -> None:
    yesterday = time.time() - 86_400
    for path in base.glob(".*"):  # of processes that were killed while they compiled
        if path.stat().st_mtime < yesterday:
            forget(path)
    folders = [path for path in base.iterdir() if path.is_dir() and not path.name.startswith(".")]
    total = 0
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        total += sum(path.stat().st_size for path in folder.iterdir())
        if total > MOST_BYTES:
            forget(folder)
