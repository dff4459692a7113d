"""Put bytes into a file, or take some out, where they stand."""

from __future__ import annotations

from pathlib import Path

_STEP = 2**20


def splice(path: Path, at: int, removed: int, inserted: bytes) -> None:
    """Replace `removed` bytes from `at` on; what follows moves, a megabyte at a time.

    Raises:
        OSError: the disk refused; the file is then neither the old nor the new.
    """
    moved = len(inserted) - removed
    with path.open("rb+") as file:
        end = file.seek(0, 2)
        starts = range(at + removed, end, _STEP)
        for start in reversed(starts) if moved > 0 else starts if moved else ():
            file.seek(start)
            block = file.read(min(_STEP, end - start))
            file.seek(start + moved)
            file.write(block)
        file.seek(at)
        file.write(inserted)
        if moved < 0:
            file.truncate(end + moved)
