"""A photograph from file to file with every backend: decoded, cut, restored, blended, encoded, flushed."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nafnet.benchmarks.case import speed
from nafnet.benchmarks.photographs import Photograph, as_8bit
from nafnet.benchmarks.pictures import Picture
from nafnet.benchmarks.results_file import PathResult, PathsResult
from nafnet.benchmarks.timing import alternate
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.restorer import Restorer

from nafnet.imagefile import ImageFile, write_image

PIXELS = 1_000_000
"""Of the photograph, about; of a few tiles' size, what is paid once for a file would weigh more than it does, and with
more a wide network's table takes an hour on two cores."""
TILES = 48
"""Are enough: where tiles are small, the photograph has fewer pixels."""


def whole_paths(
    backends: Sequence[tuple[str, Backend]], picture: Picture, *, tile: int, overlap: int, batch: int, seconds: float
) -> PathsResult:
    """Time `Restorer.restore_file` in turn, on a JPEG of the picture, continued."""
    pixels = continued(as_8bit(picture.degraded.transpose(1, 2, 0)), min(PIXELS, TILES * (tile - overlap) ** 2))
    height, width, _ = pixels.shape
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "photograph.jpg")
        image = ImageFile(pixels=pixels, alpha=None, format="jpeg", lossless=False, metadata={})
        write_image(source, image)
        functions = [
            functools.partial(
                Restorer(backend, tile=tile, overlap=overlap, batch=batch).restore_file,
                source, Path(folder, f"restored-{index}.jpg"),
            )
            for index, (_, backend) in enumerate(backends)
        ]  # fmt: skip
        reports = [function() for function in functions]  # once warms up: it is dozens of tiles
        timings = alternate(functions, seconds=seconds, min_rounds=3, warm=False)
    megapixels = height * width / 1e6
    rows = []
    for (name, _), report, timing in zip(backends, reports, timings, strict=True):
        rows.append(PathResult(name=name, speed=speed(timing), megapixels_per_second=megapixels / timing.minimum))
        if report.flagged:
            rows[-1]["run_again"] = report.flagged
    return PathsResult(
        photograph=picture.name, width=width, height=height, tile=tile, overlap=overlap, batch=batch, rows=rows
    )


def continued(pixels: Photograph, count: int) -> Photograph:
    """uint8[H,W,C] of at least about `count` pixels in the same proportion, continued by reflection to the right and
    below: enlarged, the noise would be blotches that no camera makes."""
    height, width, _ = pixels.shape
    factor = max(math.sqrt(count / (height * width)), 1.0)
    missing = [(0, round(side * factor) - side) for side in (height, width)]
    return np.pad(pixels, (*missing, (0, 0)), mode="symmetric")
