"""PPM and PGM, read from the file a band at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nafnet.images.decoders.base import ImageReader, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.pixels import Rows
from nafnet.images.plain import ppm_header, ppm_rows


class _Reader(ImageReader):
    def __init__(self, path: Path, header: Header, offset: int) -> None:
        super().__init__(path, header)
        self._offset = offset

    def rows(self, count: int) -> Iterator[Rows]:
        height = self.header.height
        for start in range(0, height, count):
            yield ppm_rows(self.path, self.header, self._offset, start, min(count, height - start))


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:  # noqa: ARG001, all decoders' signature
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    header, offset = ppm_header(path)
    refuse_large(path, header.width, header.height, max_pixels)
    return _Reader(path, header, offset)
