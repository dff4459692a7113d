"""What the gate found: a table for the screen, JSON for a file, and a picture of the worst error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from nafnet.difference import UNMEASURABLE
from nafnet.export.gate.parity import Row
from nafnet.export.gate.photographs import Photographs
from nafnet.export.gate.verification import Verification, Worst
from nafnet.files import write_whole
from nafnet.parity import GATES
from nafnet.progress import PlainConsole
from nafnet.spec import ModelSpec
from nafnet.words import counted

FORMAT_VERSION = 1
MOST_GAIN = 1000.0
_SEPARATOR = 4  # pixels between the panels of the picture


def parity_table(found: Verification) -> Table:
    """PSNR in dB, a row for each input and a column for each executor; below, its largest difference and 99.9%."""
    gate = GATES[found.spec.precision]
    limits = [f"at least {gate.psnr:g} dB"]
    limits += [f"largest difference at most {gate.max_abs:.1e}"] if gate.max_abs is not None else []
    limits += [f"99.9% at most {gate.p999:.1e}"] if gate.p999 is not None else []
    table = Table(title=f"The export against PyTorch in fp32, PSNR in dB; {found.spec.precision}: {', '.join(limits)}")
    by_executor: dict[str, dict[str, Row]] = {}
    for row in found.rows:
        by_executor.setdefault(row.ran_on, {})[row.case] = row
    table.add_column("input")
    for name in by_executor:
        table.add_column(name, justify="right")
    for case in dict.fromkeys(row.case for row in found.rows):
        table.add_row(case, *(_figure(rows.get(case)) for rows in by_executor.values()))
    table.add_section()
    columns = [list(rows.values()) for rows in by_executor.values()]
    for label, figures in (
        ("largest difference", [max(row.max_abs for row in rows) for rows in columns]),
        ("99.9%", [max(row.p999 for row in rows) for rows in columns]),
    ):
        table.add_row(label, *("-" if figure == UNMEASURABLE else f"{figure:.1e}" for figure in figures))
    table.add_row("", *(_verdict(rows) for rows in columns))
    return table


def _figure(row: Row | None) -> str:
    if row is None:
        return ""
    figure = "none" if row.max_abs == UNMEASURABLE else f"{row.psnr:.1f}"
    return f"[red]{figure} refused[/red]" if row.refused else figure


def _verdict(rows: list[Row]) -> str:
    refused = sum(row.refused is not None for row in rows)
    if not refused:
        return "passed"
    return f"[red]{refused} refused[/red]" + ("" if rows[0].decides else ", not used")


def show(found: Verification) -> None:
    """Print the table, and in a line each what tiles do and what is lost against ground truth."""
    console = PlainConsole()
    console.print(parity_table(found))
    reasons = dict.fromkeys(f"{row.case} on {row.ran_on}: {row.refused}" for row in found.rows if row.refused)
    weights = "every weight in the file is the network's, to the bit" if found.spec.precision != "int8" else None
    for line in (found.weights or weights, *reasons, tiling_line(found), truth_line(found)):
        if line:
            console.print(line, soft_wrap=True)


def truth_line(found: Verification) -> str | None:
    """What is lost against clean pictures; of int8, what could not be measured."""
    if found.spec.precision != "int8":
        return None
    loss = found.truth
    if loss is None:
        return "no ground truth: give --images and --truth to measure what int8 loses against clean pictures"
    pictures = counted(loss.pictures, "clean picture")
    return f"against {pictures}: PyTorch {loss.reference_psnr:.2f} dB, the export {loss.psnr:.2f} dB"


def tiling_line(found: Verification) -> str | None:
    """Tiling error and backend error, apart."""
    error = found.tiling
    if error is None:
        return None
    height, width = error.image
    return (
        f"Tiles ({error.tile}, overlap {error.overlap}, over {height}x{width}) against the whole picture: "
        f"{error.tiling_psnr:.1f} dB, in PyTorch alike. Export against PyTorch in the same tiles: "
        f"{error.backend_psnr:.1f} dB."
    )


def closing_line(found: Verification) -> str:
    """The last word on an export that passed, and what it does not mean."""
    deciding = [row for row in found.rows if row.decides]
    lowest = min(row.psnr for row in deciding)
    others = {row.ran_on for row in found.rows if row.refused}
    unused = f"; not on {', '.join(sorted(others))}, which is refused for it" if others else ""
    return (
        f"all {counted(len(deciding), 'comparison')} passed: the export gives what PyTorch gives ({lowest:.0f} dB or "
        f"more{unused}); this says nothing about how good the pictures are"
    )


def write_parity_report(
    path: Path,
    spec: ModelSpec,
    found: Verification | None,
    attempts: tuple[str, ...],
    refused: str | None,
    photographs: Photographs | None = None,
) -> list[Path]:
    """Write the JSON to `path`, and the worst error to a PNG of the same name; returns what was written.

    The JSON has `format_version`, `refused` (null, or why), `spec`, `attempts` (forms refused before), `weights` (null,
    or which are wrong), `comparisons`, `tiling`, `ground_truth` and `photographs` (which files were used and which not;
    null without any).
    """
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "refused": refused,
        "spec": json.loads(spec.to_json()),
        "attempts": list(attempts),
        "weights": found.weights if found else None,
        "comparisons": [dataclasses.asdict(row) for row in found.rows] if found else [],
        "tiling": dataclasses.asdict(found.tiling) if found and found.tiling else None,
        "ground_truth": dataclasses.asdict(found.truth) if found and found.truth else None,
        "photographs": photographs.facts() if photographs else None,
    }
    write_whole(path, json.dumps(content, indent=2).encode())
    if found is None or found.worst is None:
        return [path]
    return [path, write_worst(path.with_suffix(".png"), found.worst)]


def write_worst(path: Path, worst: Worst) -> Path:
    """PyTorch, the export, and their difference, amplified until it fills the range, side by side."""
    from nafnet.images.file import ImageFile, write_image

    expected, given = (np.clip(np.nan_to_num(part), 0, 1) for part in (worst.expected, worst.given))
    given_at_all = np.nan_to_num(worst.given.astype(np.float64), nan=1e6)
    error = np.abs(given_at_all - np.nan_to_num(worst.expected.astype(np.float64)))
    gain = min(1 / max(float(error.max()), 1e-12), MOST_GAIN)
    panels = [_rgb(part) for part in (expected, given, np.clip(error * gain, 0, 1))]
    gap = np.full((panels[0].shape[0], _SEPARATOR, 3), 255, np.uint8)
    pixels = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    write_image(path, ImageFile(pixels=pixels, alpha=None, format="png", lossless=True))
    return path


def _rgb(planes: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """float [C,H,W] in [0, 1] as uint8[H,W,3]."""
    shown = planes[np.arange(3) % len(planes)] if len(planes) < 3 else planes[:3]
    return np.ascontiguousarray(np.rint(shown * 255).astype(np.uint8).transpose(1, 2, 0))
