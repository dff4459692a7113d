"""Photographs to photographs: restore arrays with `Restorer`, files with `restore_file`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nafnet.runtime.engine.look import Look
    from nafnet.runtime.engine.restorer import Restorer
    from nafnet.runtime.folder.one_file import restore_file
    from nafnet.runtime.folder.report import FileReport
    from nafnet.runtime.folder.settings import Encoding

__all__ = ["Encoding", "FileReport", "Look", "Restorer", "restore_file"]

_PLACES = {
    "Encoding": "nafnet.runtime.folder.settings",
    "FileReport": "nafnet.runtime.folder.report",
    "Look": "nafnet.runtime.engine.look",
    "Restorer": "nafnet.runtime.engine.restorer",
    "restore_file": "nafnet.runtime.folder.one_file",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for, so that `nafnet-run --help` does not wait for it."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
