"""The disk of the stores: room looked at before the work, and errors that name the file and what to do."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from nafnet.errors import DataError, OutputError
from nafnet.files import CACHE_VARIABLE
from nafnet.words import in_bytes

WORTH_SAYING = 10**8
"""Bytes of a store from which on the user is told before it is made."""
MAKE_ROOM = f"make room (`nafnet-train cache` lists what can go), or choose another disk ({CACHE_VARIABLE})"


def require_room(folder: Path, what: str, needed: int, otherwise: str = "") -> int:
    """Bytes that are free on the disk of `folder`.

    Args:
        folder: where it is to be written.
        what: is written, in words, with its verb.
        needed: bytes of it that are not there yet.
        otherwise: what else could be done where they do not fit.

    Raises:
        DataError: there is less room than that.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: {what} {in_bytes(needed)}, and {in_bytes(free)} are free; {MAKE_ROOM}{otherwise}")
    return free


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """While this is open, a disk that refuses is an error that names the file.

    Raises:
        OutputError: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{error.filename or path}: cannot be written ({reason}); {MAKE_ROOM}, and start again"
        ) from error
