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
    strength: float | None = None
    """Where a photograph has several results, one for each strength: that of this. Such jobs are neighbours."""
    plain: Path | None = None
    """What the target would be called if it were the only one."""
    sheet: Path | None = None
    """Where a picture of all strengths goes; of the first of these jobs alone."""
    real: str = ""
    """The source without links, where that is known."""

    @property
    def shard_name(self) -> Path:
        """By what it falls to a shard: all results of a photograph to the same."""
        return self.plain or self.target
