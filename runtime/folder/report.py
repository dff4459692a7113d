"""What became of every file: the rows of `--report`, and the lines that a run prints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from nafnet.files import Place, write_whole
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.paths.discovery import Found
from nafnet.runtime.paths.job import Job
from nafnet.system import SYSTEM
from nafnet.words import counted

MARK = b'{\n  "program": "nafnet-run",'
"""How a report begins."""
_MOST_NOTES = 5
"""Lines about files that are restored."""
Status = Literal["restored", "unchanged", "elsewhere", "failed", "skipped"]
"""Unchanged: an earlier run restored the same bytes with the same model and settings. Elsewhere: it falls to another
shard. Skipped: not reached."""


@dataclasses.dataclass(kw_only=True)
class FileReport:
    """One row. Width and height are those of the upright image; 0 where it could not be read."""

    input: str
    output: str
    status: Status = "skipped"
    width: int = 0
    height: int = 0
    frames: int = 1
    """Or pages."""
    tiles: int = 0
    flagged: int = 0
    """Tiles whose result could not be true, and that were run again in fp32."""
    seconds: dict[str, float] = dataclasses.field(default_factory=lambda: {"decode": 0.0, "infer": 0.0, "encode": 0.0})
    """Decoding, waiting for the model, encoding; they overlap."""
    colours: str = ""
    """What the file's values stand for, by which they were given to the model: `sRGB`, `linear light`, `as-is`."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What could not be kept as it was."""
    error: str | None = None

    @classmethod
    def of(cls, job: Job) -> FileReport:
        """The row of a job nothing has been done for yet."""
        return cls(input=str(job.source), output=str(job.target))


def unreadable(found: Found) -> list[FileReport]:
    """A row for each folder that could not be listed: it fails as a file does, and the others go on."""
    return [
        FileReport(input=str(folder), output="", status="failed", error=f"{folder}: cannot be listed ({reason})")
        for folder, reason in found.unreadable.items()
    ]


def totals(rows: Sequence[FileReport], wall_seconds: float) -> dict[str, Any]:
    """Counts by status, restored megapixels, tiles, seconds by stage, wall time and throughput."""
    restored = [row for row in rows if row.status == "restored"]
    megapixels = sum(row.width * row.height * row.frames for row in restored) / 1e6
    # The results of one photograph, in several strengths, are made of the same tiles.
    tiles = {row.input: (row.tiles, row.flagged) for row in sorted(rows, key=lambda row: row.tiles)}
    stages = {name: round(sum(row.seconds[name] for row in rows), 4) for name in ("decode", "infer", "encode")}
    counts = {status: sum(row.status == status for row in rows) for status in get_args(Status)}
    return {
        "files": len(rows),
        **counts,
        "megapixels": round(megapixels, 4),
        "tiles": sum(count for count, _ in tiles.values()),
        "flagged_tiles": sum(flagged for _, flagged in tiles.values()),
        "seconds": {**stages, "wall": round(wall_seconds, 4)},
        "megapixels_per_second": round(megapixels / wall_seconds, 4) if wall_seconds else 0.0,
    }


def write_report(
    path: Path, rows: Sequence[FileReport], settings: dict[str, Any], wall_seconds: float, place: Place = SYSTEM.replace
) -> None:
    """Write the report as JSON: ``{"program": "nafnet-run", "settings": ..., "totals": ..., "files": [...]}``.

    Args:
        path: of the report.
        rows: of all files.
        settings: how they were restored.
        wall_seconds: that the run took.
        place: gives the file its name; see `nafnet.files.whole_file`.
    """
    files = [dataclasses.asdict(row) for row in rows]
    for file in files:
        file["seconds"] = {stage: round(seconds, 6) for stage, seconds in file["seconds"].items()}
    content = {"program": "nafnet-run", "settings": settings, "totals": totals(rows, wall_seconds), "files": files}
    write_whole(path, json.dumps(content, indent=2).encode(), place=place)


def opening(restorer: Restorer, count: int) -> str:
    """One line on what is about to happen; an artefact that was not verified against PyTorch says so."""
    spec, name = restorer.spec, restorer.backend.model.name
    is_reference = restorer.backend.name == "torch"
    parity = "the reference itself" if is_reference else f"{spec.precision}, {spec.standing}"
    tiles = f"tiles of {restorer.tile}, overlap {restorer.overlap}"
    on = restorer.backend.description + (f" ({restorer.figures})" if restorer.figures else "")
    return f"{counted(count, 'file')}, {name} ({spec.task}, {parity}) on {on}, {tiles}"


def summary(sums: dict[str, Any], output: Path) -> str:
    """The last line of a run."""
    words = {"unchanged": "done before", "elsewhere": "of other shards", "failed": "failed", "skipped": "not reached"}
    others = "".join(f", {sums[status]} {word}" for status, word in words.items() if sums[status])
    if not sums["restored"]:
        return f"nothing restored{others} in {sums['seconds']['wall']:.1f} s -> {output}"
    again = counted(sums["flagged_tiles"], "tile")
    flagged = f" ({again} computed again in full precision; the pictures are fine)" if sums["flagged_tiles"] else ""
    return (
        f"{sums['restored']} restored{flagged}{others} in {sums['seconds']['wall']:.1f} s: "
        f"{sums['megapixels']:.2f} MP, {sums['megapixels_per_second']:.2f} MP/s -> {output}"
    )


def noted(rows: Sequence[FileReport]) -> list[str]:
    """A line for each file that could not be kept or compared as it was, or had tiles computed again."""
    return [f"{row.output}: {'; '.join(row.notes)}" for row in _with_notes(rows)]


def notes_in_short(rows: Sequence[FileReport]) -> list[str]:
    """A line for each thing that is to be noted, with the number of its files or the name of the only one."""
    outputs: dict[str, list[str]] = {}
    for row in _with_notes(rows):
        for note in row.notes:
            outputs.setdefault(note, []).append(row.output)
    often = sorted(outputs.items(), key=lambda item: -len(item[1]))
    lines = [
        f"{names[0] if len(names) == 1 else counted(len(names), 'file')}: {note}" for note, names in often[:_MOST_NOTES]
    ]
    if len(often) > _MOST_NOTES:
        lines.append(f"and {counted(len(often) - _MOST_NOTES, 'other note')}; --report has all of them")
    return lines


def _with_notes(rows: Sequence[FileReport]) -> list[FileReport]:
    return [row for row in rows if row.status in ("restored", "unchanged") and row.notes]
