"""One photograph and where its restored copy goes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.images.formats import Format


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One photograph and where its restored copy goes."""

    source: Path
    target: Path
    format: Format | None = None
    """Of the target; None keeps the source's own, which is known once it is opened."""
    compare: Path | None = None
    """Where original and restored image go side by side."""
    real: str = ""
    """The source without links, where that is known."""
