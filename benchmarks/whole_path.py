"""A photograph from file to file with every backend: decoded, cut, restored, blended, encoded, flushed."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nafnet.benchmarks.case import speed
from nafnet.benchmarks.photographs import as_8bit
from nafnet.benchmarks.pictures import Picture
from nafnet.benchmarks.results_file import PathResult, PathsResult
from nafnet.benchmarks.timing import alternate
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.restorer import Restorer

from nafnet.imagefile import ImageFile, write_image


def whole_paths(
    backends: Sequence[tuple[str, Backend]], picture: Picture, *, tile: int, overlap: int, batch: int, seconds: float
) -> PathsResult:
    """Time `Restorer.restore_file` in turn, on a JPEG of the picture."""
    _, height, width = picture.degraded.shape
    pixels = as_8bit(picture.degraded.transpose(1, 2, 0))
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
        timings = alternate(functions, seconds=seconds, min_rounds=3)
    megapixels = height * width / 1e6
    rows = [
        PathResult(name=name, speed=speed(timing), megapixels_per_second=megapixels / timing.minimum)
        for (name, _), timing in zip(backends, timings, strict=True)
    ]
    return PathsResult(
        photograph=picture.name, width=width, height=height, tile=tile, overlap=overlap, batch=batch, rows=rows
    )
