"""What the gate found: a table for the screen, JSON for a file, and a picture of the worst error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from nafnet.export.gate.parity import GATES, UNMEASURABLE
from nafnet.export.gate.photographs import Photographs
from nafnet.export.gate.verification import Verification, Worst
from nafnet.files import write_whole
from nafnet.progress import PlainConsole
from nafnet.spec import ModelSpec
from nafnet.words import counted

FORMAT_VERSION = 1
MOST_GAIN = 1000.0
_SEPARATOR = 4  # pixels between the panels of the picture


def parity_table(found: Verification) -> Table:
    """One row for each input and executor."""
    gate = GATES[found.spec.precision]
    limits = [f"PSNR at least {gate.psnr:g} dB"]
    limits += [f"largest at most {gate.max_abs:.1e}"] if gate.max_abs is not None else []
    limits += [f"99.9% at most {gate.p999:.1e}"] if gate.p999 is not None else []
    table = Table(title=f"The export against PyTorch in fp32 (to pass in {found.spec.precision}: {', '.join(limits)})")
    figures = ("PSNR, dB", "largest", "99.9%")
    for heading in ("input", "on", *figures, ""):
        table.add_column(heading, justify="right" if heading in figures else "left")
    for row in found.rows:
        measured = (f"{row.psnr:.1f}", f"{row.max_abs:.1e}", f"{row.p999:.1e}")
        if row.max_abs == UNMEASURABLE:
            measured = ("-", "-", "-")
        table.add_row(row.case, row.ran_on, *measured, row.refused or "passed", style="red" if row.refused else None)
    return table


def show(found: Verification) -> None:
    """Print the table, and in a line each what tiles do and what is lost against ground truth."""
    console = PlainConsole()
    console.print(parity_table(found))
    for line in (tiling_line(found), truth_line(found)):
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
    lowest = min(row.psnr for row in found.rows)
    return (
        f"all {counted(len(found.rows), 'comparison')} passed: the export gives what PyTorch gives ({lowest:.0f} dB or "
        "more); this says nothing about how good the pictures are"
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

    The JSON has `format_version`, `refused` (null, or why), `spec`, `attempts` (forms refused before), `comparisons`,
    `tiling`, `ground_truth` and `photographs` (which files were used and which not; null without any).
    """
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "refused": refused,
        "spec": json.loads(spec.to_json()),
        "attempts": list(attempts),
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
