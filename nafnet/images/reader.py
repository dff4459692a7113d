"""Decode a photograph from top to bottom, in bands of rows, by the decoder that its first bytes ask for.

A file's kind comes from its first bytes and its depth from its header, never from a name or a decoder's mode.
"""

from __future__ import annotations

import dataclasses
import importlib
import struct
from pathlib import Path

from nafnet.errors import ImageError
from nafnet.images.colour.reading import read_said
from nafnet.images.containers.png import is_animated
from nafnet.images.containers.tiff import mosaic
from nafnet.images.decoders.base import ImageReader
from nafnet.images.formats import MAX_PIXELS, SNIFFED, Format, sniff

_DECODERS: dict[Format, str] = {
    "png": "nafnet.images.decoders.libvips",
    "jpeg": "nafnet.images.decoders.libvips",
    "tiff": "nafnet.images.decoders.libvips",
    "webp": "nafnet.images.decoders.libvips",
    "avif": "nafnet.images.decoders.libvips",
    "heif": "nafnet.images.decoders.heif",
    "bmp": "nafnet.images.decoders.bmp",
    "ppm": "nafnet.images.decoders.ppm",
    "gif": "nafnet.images.decoders.libvips",
    "jxl": "nafnet.images.decoders.jxl",
    "raw": "nafnet.images.decoders.raw",
}
"""Modules of one function, `open_file`, each of which loads its library."""
_ANIMATIONS = "nafnet.images.decoders.animation"
"""Of the formats of which libvips reads the first picture alone."""


def open_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> ImageReader:
    """Read a file's header.

    Raises:
        ImageError: not an image this project reads, damaged, or of more than `max_pixels`; the message says what it is.
    """
    file_format = recognise(path)
    module = _ANIMATIONS if is_animation(path, file_format) else _DECODERS[file_format]
    reader: ImageReader = importlib.import_module(module).open_file(path, file_format, max_pixels)
    header = reader.header
    said, notes = read_said(header.metadata, header.channels)
    reader.header = dataclasses.replace(header, said=said, notes=(*header.notes, *notes))
    return reader


def is_animation(path: Path, file_format: Format) -> bool:
    """Whether a file is an animation of a format of which libvips reads the first picture alone."""
    try:
        if file_format == "png":
            return is_animated(path)
        if file_format == "avif":
            with path.open("rb") as file:
                return file.read(12)[8:] == b"avis"
    except (OSError, struct.error):
        return False
    return False


def recognise(path: Path) -> Format:
    """The format of a file by its content.

    Raises:
        ImageError: it cannot be read, or is none of ours; the message says what it is.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ImageError(f"{str(path)!a}: its name is not UTF-8; rename it") from error
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: not a regular file")  # opening a pipe would wait for a writer
        with path.open("rb") as file:
            start = file.read(SNIFFED)
        file_format = sniff(start)
        if file_format == "tiff" and mosaic(path):
            return "raw"
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
    if file_format is None:
        what = f"starts with {start[:8]!r}" if start else "the file is empty"
        raise ImageError(
            f"{path}: not a PNG, JPEG, TIFF, WebP, AVIF, GIF, HEIF, JPEG XL, BMP, PPM or raw image ({what})"
        )
    return file_format
