"""BMP, by Pillow, which decodes it as a whole."""

from __future__ import annotations

from pathlib import Path

from nafnet.images.decoders.base import ImageReader, WholeReader
from nafnet.images.formats import Format
from nafnet.images.plain import bmp_header, read_bmp


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:  # noqa: ARG001, all decoders' signature
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    return WholeReader(path, bmp_header(path, max_pixels), lambda: read_bmp(path))
