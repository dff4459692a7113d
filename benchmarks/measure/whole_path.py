"""A photograph from file to file with every backend: decoded, cut, restored, blended, encoded, flushed."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nafnet.benchmarks.measure.case import speed
from nafnet.benchmarks.photographs import Photograph, as_8bit
from nafnet.benchmarks.pictures import Picture
from nafnet.benchmarks.results_file import PathResult, PathsResult
from nafnet.benchmarks.timing import alternate
from nafnet.errors import NafnetError
from nafnet.images.file import ImageFile, write_image
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.one_file import restore_file

SECONDS = 2.0
"""That the reference takes for the photograph, about: in less, what is paid once for a file would weigh more than it
does, and each backend restores it once more than there are rounds."""
TILES = 4, 192
"""Fewest and most tiles of the photograph."""
ROUNDS = 3


def whole_paths(
    backends: Sequence[tuple[str, Backend]],
    picture: Picture,
    *,
    tile: int,
    overlap: int,
    batch: int,
    seconds: float,
    tile_seconds: float,
    on_row: Callable[[str], None] = lambda _: None,
    on_round: Callable[[float], None] = lambda _: None,
) -> PathsResult:
    """Time `restore_file` in turn, on a JPEG of the picture, continued or cut.

    Args:
        tile_seconds: that the reference takes for one tile.
        on_row: told what is restored for the first time.
        on_round: told the share of the time that is over.
    """
    count = tiles_of(tile_seconds, batch)
    pixels = continued(as_8bit(picture.degraded.transpose(1, 2, 0)), count, tile, overlap)
    height, width, _ = pixels.shape
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "photograph.jpg")
        image = ImageFile(pixels=pixels, alpha=None, format="jpeg", lossless=False)
        write_image(source, image)
        rows, works = [], []
        for index, (name, backend) in enumerate(backends):
            restorer = Restorer(backend, tile=tile, overlap=overlap, batch=batch)
            target = Path(folder, f"restored-{index}.jpg")
            function = functools.partial(restore_file, restorer, source, target, overwrite=True)
            row = PathResult(name=name)
            rows.append(row)
            on_row(f"file to file, {name}")
            try:
                report = function()  # once warms up: it is dozens of tiles
            except NafnetError as error:
                row["failed"] = str(error)
                continue
            if report.flagged:
                row["run_again"] = report.flagged
            works.append((row, function))
        timings = alternate(
            [function for _, function in works], seconds=seconds, min_rounds=ROUNDS, warm=False, on_round=on_round
        )
    for (row, _), timing in zip(works, timings, strict=True):
        row["speed"] = speed(timing)
        row["megapixels_per_second"] = height * width / 1e6 / timing.minimum
    return PathsResult(
        photograph=picture.name, width=width, height=height, tile=tile, overlap=overlap, batch=batch, rows=rows
    )


def tiles_of(tile_seconds: float, batch: int) -> float:
    """Of the photograph, at least two batches, where the reference takes so many seconds for one."""
    return min(max(SECONDS / tile_seconds, TILES[0], 2 * batch), TILES[1])


def continued(pixels: Photograph, count: float, tile: int, overlap: int) -> Photograph:
    """uint8[H,W,C] that whole tiles cover, about `count` of them in the same proportion: the picture's upper left,
    continued by reflection to the right and below; enlarged, the noise would be blotches that no camera makes.

    Tiles of a size that backends were not prepared for would be another measurement.
    """
    height, width, _ = pixels.shape
    step, down = tile - overlap, max(round(math.sqrt(count * height / width)), 1)
    sides = [number * step + overlap for number in (down, max(round(count / down), 1))]
    missing = [(0, max(side - known, 0)) for side, known in zip(sides, (height, width), strict=True)]
    return np.pad(pixels, (*missing, (0, 0)), mode="symmetric")[: sides[0], : sides[1]]
