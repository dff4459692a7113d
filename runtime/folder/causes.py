"""Why a file could not be decoded, where that is no fault of the file: no memory, or no room for temporary files.

Decoders report both in the words that they have for damage.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from nafnet.errors import ImageError
from nafnet.system import SYSTEM

_MEMORY = re.compile(r"out of memory|insufficient memory|cannot allocate|failed to allocate|bad_alloc", re.IGNORECASE)
_TEMPORARY = re.compile(r"unable to write to|write failed|vips-\d+-\d+\.v|no space left|error writing", re.IGNORECASE)
_VARIABLE = "TMPDIR"
_PROBE = 64 * 2**10
_ROOM = 64 * 2**20
"""Of address space; where less is left, a decoder may have stopped for want of it and called it something else."""


def temporary_folder() -> Path:
    """Where libvips puts rows that it needs out of order, as `use_temporary_folder` has told it."""
    return Path(os.environ.get(_VARIABLE) or tempfile.gettempdir())


def use_temporary_folder() -> None:
    """Tell libvips where to, once, before its first image: on each system it looks elsewhere by itself."""
    os.environ[_VARIABLE] = str(temporary_folder())


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder; None if something can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def explained(error: ImageError, path: Path, memory: int) -> str:
    """The message for a file that failed, in the process in which it did.

    Args:
        error: as the reader raised it.
        path: of the file.
        memory: bytes of address space that decoding may take; 0 for any.
    """
    words = f"{error} {error.__cause__ or ''}"
    if ": damaged " not in str(error):
        return str(error)
    if _MEMORY.search(words):
        return f"{path}: {too_little(memory)}"
    folder = temporary_folder()
    if _TEMPORARY.search(words):
        reason = unwritable(folder) or "no room"
        return (
            f"{path}: cannot be decoded, for the temporary folder {folder} takes no more ({reason}); make room, "
            "or set TMPDIR to another folder"
        )
    if memory and SYSTEM.peak_memory() + _needed(path) > memory:
        return f"{str(error).replace(': damaged ', ': damaged or too large ', 1)}: {too_little(memory)}"
    return str(error)


def too_little(memory: int) -> str:
    """What is said where the limit is in the way."""
    limit = f"more than the {memory / 2**20:.0f} MB that decoding may take; raise --decode-memory"
    return f"needs {limit}" if memory else "needs more memory than there is"


def of_death(said: str, memory: int) -> str | None:
    """From the last words of a decoder that died: whether it was memory; None where they do not say."""
    return too_little(memory) if _MEMORY.search(said) else None


def _needed(path: Path) -> int:
    """Address space that might have been asked for in vain: compressed as a whole, a file is read as a whole."""
    try:
        return _ROOM + path.stat().st_size
    except OSError:
        return _ROOM
