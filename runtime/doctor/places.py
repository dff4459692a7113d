"""The folders that a run writes to beside its output, and whether it can."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

from nafnet.errors import NafnetError
from nafnet.files import cache_folder
from nafnet.runtime.doctor.privacy import discreet

PURPOSE = "checks"
"""Of a folder of the cache that every run has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """One folder."""

    name: str
    """What it is for."""
    path: str | None
    """With ~ for the home; None where there is none."""
    fault: str | None = None
    """Why it cannot be written."""
    free: int | None = None
    """Bytes on its disk."""


def places() -> list[Place]:
    """The cache, each of its folders that cannot be written, and the folder for temporary files."""
    try:
        base = cache_folder(PURPOSE).parent
        found = [_place("cache", base)]
        inner = [_place(f"cache: {path.name}", path) for path in sorted(base.iterdir()) if path.is_dir()]
        found += [place for place in inner if place.fault]
    except (OSError, NafnetError) as error:
        found = [Place(name="cache", path=None, fault=discreet(str(error)))]
    try:
        return [*found, _place("temporary files", Path(tempfile.gettempdir()))]
    except OSError as error:
        return [*found, Place(name="temporary files", path=None, fault=discreet(str(error)))]


def _place(name: str, path: Path) -> Place:
    """A file is made there: permissions do not tell of a full disk, or of one that is read-only."""
    fault = None
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        fault = error.strerror or str(error)
    return Place(name=name, path=discreet(str(path)), fault=fault, free=shutil.disk_usage(path).free)
