"""What became of every file: the rows of `--report`, and the summary."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from nafnet.runtime.discovery import Job

from nafnet.files import write_whole

Status = Literal["restored", "failed", "skipped"]


@dataclasses.dataclass(kw_only=True)
class FileReport:
    """One row. Width and height are those of the upright image; 0 where it could not be read."""

    input: str
    output: str
    status: Status = "skipped"
    width: int = 0
    height: int = 0
    tiles: int = 0
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: {"decode": 0.0, "infer": 0.0, "encode": 0.0})
    error: str | None = None

    @classmethod
    def of(cls, job: Job) -> FileReport:
        """The row of a job nothing has been done for yet."""
        return cls(input=str(job.source), output=str(job.target))


def totals(rows: Sequence[FileReport], wall_seconds: float) -> dict[str, Any]:
    """Counts by status, restored megapixels, tiles, seconds by stage, wall time and throughput."""
    restored = [row for row in rows if row.status == "restored"]
    megapixels = sum(row.width * row.height for row in restored) / 1e6
    stages = {name: round(sum(row.seconds[name] for row in rows), 4) for name in ("decode", "infer", "encode")}
    counts = {status: sum(row.status == status for row in rows) for status in ("restored", "failed", "skipped")}
    return {
        "files": len(rows),
        **counts,
        "megapixels": round(megapixels, 4),
        "tiles": sum(row.tiles for row in rows),
        "seconds": {**stages, "wall": round(wall_seconds, 4)},
        "megapixels_per_second": round(megapixels / wall_seconds, 4) if wall_seconds else 0.0,
    }


def write_report(path: Path, rows: Sequence[FileReport], settings: dict[str, Any], wall_seconds: float) -> None:
    """Write the report as JSON: ``{"settings": ..., "totals": ..., "files": [...]}``."""
    files = [dataclasses.asdict(row) for row in rows]
    content = {"settings": settings, "totals": totals(rows, wall_seconds), "files": files}
    write_whole(path, json.dumps(content, indent=2).encode())
