"""PBM, PGM and PPM, read from the file a band at a time; what is not of 8 or 16 bits is spread over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.containers.netpbm import Netpbm, SeveralError, read_netpbm, values
from nafnet.images.decoders.base import ImageReader, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.pixels import WHITE, PixelType, Rows


class _Reader(ImageReader):
    def __init__(self, path: Path, header: Header, found: Netpbm) -> None:
        super().__init__(path, header)
        self._found = found

    def rows(self, count: int) -> Iterator[Rows]:
        header, found = self.header, self._found
        white = WHITE[header.pixel_type]
        spread = np.rint(np.arange(found.largest + 1) * (white / found.largest)).astype(header.pixel_type)
        try:
            for rows in values(self.path, found, count):
                whole = rows if found.largest == white else spread[rows]
                yield whole.astype(header.pixel_type).reshape(-1, header.width, header.channels)
        except ValueError as error:
            raise ImageError(f"{self.path}: damaged PPM ({error})") from error


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    try:
        found = read_netpbm(path)
    except SeveralError as error:
        raise ImageError(
            f"{path}: holds several pictures; only single images are restored, so split it first"
        ) from error
    except ValueError as error:
        raise ImageError(f"{path}: damaged PPM ({error})") from error
    refuse_large(path, found.width, found.height, max_pixels)
    kind: PixelType = "uint16" if found.largest > WHITE["uint8"] else "uint8"
    notes = []
    if found.is_bits:
        notes.append("1 bit became 8")
    elif found.largest != WHITE[kind]:
        notes.append(f"values of up to {found.largest} became ones of up to {WHITE[kind]}")
    header = Header(
        width=found.width, height=found.height, format=file_format, channels=found.channels, alpha=False,
        pixel_type=kind, bits=16 if kind == "uint16" else 8, lossless=True, notes=tuple(notes),
    )  # fmt: skip
    return _Reader(path, header, found)
