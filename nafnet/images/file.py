"""A photograph as a whole in memory: pixels in the file's own depth, alpha apart, ICC, EXIF.

Read and written through `reader` and `writer`, the project's one decoder and one encoder.

Shapes: H height, W width, C colour channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.images.formats import DEFAULT_QUALITY, Format
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import NOTHING, Metadata
from nafnet.images.reader import open_image
from nafnet.images.writer import ImageWriter

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageFile:
    """A decoded photograph, upright: the EXIF orientation has been applied to the pixels and dropped."""

    pixels: Pixels
    """[H,W,C], RGB or grey in the file's own colour space: uint8 or uint16 over its full range, float32 white at 1."""
    alpha: Pixels | None
    """[H,W] of the same depth, or None."""
    format: Format
    lossless: bool
    """Whether the file's compression kept every pixel; decides how WebP is written."""
    metadata: Metadata = NOTHING

    @property
    def header(self) -> Header:
        """What a file of it says of itself."""
        height, width, channels = self.pixels.shape
        kind: Any = self.pixels.dtype.name
        return Header(
            width=width, height=height, format=self.format, channels=channels, alpha=self.alpha is not None,
            pixel_type=kind, bits=8 * self.pixels.itemsize, lossless=self.lossless,
            metadata=self.metadata,
        )  # fmt: skip


def read_header(path: Path) -> Header:
    """Read what a file says of itself, refusing what `read_image` would refuse.

    Raises:
        ImageError: not an image this project reads; the message says what it is.
    """
    return open_image(path).header


def read_image(path: Path) -> ImageFile:
    """Decode a file whole.

    Raises:
        ImageError: not an image this project reads, or damaged; a truncated file is never half read.
    """
    reader = open_image(path)
    header = reader.header
    bands = list(reader.rows(header.rows))
    rows = bands[0] if len(bands) == 1 else np.concatenate(bands)
    alpha: Any = np.ascontiguousarray(rows[:, :, -1]) if header.alpha else None
    pixels: Any = np.ascontiguousarray(rows[:, :, : header.channels])
    return ImageFile(
        pixels=pixels, alpha=alpha, format=header.format, lossless=header.lossless, metadata=header.metadata
    )


def write_image(path: Path, image: ImageFile, *, quality: int = DEFAULT_QUALITY) -> None:
    """Encode to `path` in the image's own format and depth, whole or not at all.

    Raises:
        ImageError: the format cannot hold the image.
        OutputError: the disk refused.
    """
    header = image.header.converted(image.format, 8 * image.pixels.itemsize)
    rows = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    with ImageWriter(path, header, quality=quality) as writer:
        writer.write(rows)
        writer.finish()
