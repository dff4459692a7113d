"""The file formats of photographs: their names and first bytes, what each can hold, and what a file's header says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.pixels import PIXEL_TYPES, PixelType

Format = Literal["png", "jpeg", "tiff", "webp", "avif", "heif", "bmp", "ppm"]

# A file of a few hundred kilobytes can claim more pixels than a machine has memory for.
MAX_PIXELS = 1_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatInfo:
    """What a format can hold."""

    suffixes: tuple[str, ...]
    """Of file names, in lower case; the first is given to new names."""
    holds: tuple[PixelType, ...]
    alpha: bool = True
    has_quality: bool = False
    """Whether it is written with loss, at a quality of 1 to 100."""
    max_side: int = 2**31 - 1


FORMATS: dict[Format, FormatInfo] = {
    "png": FormatInfo(suffixes=(".png",), holds=("uint8", "uint16")),
    "jpeg": FormatInfo(suffixes=(".jpg", ".jpeg"), holds=("uint8",), alpha=False, has_quality=True, max_side=65535),
    "tiff": FormatInfo(suffixes=(".tif", ".tiff"), holds=("uint8", "uint16", "float32")),
    "webp": FormatInfo(suffixes=(".webp",), holds=("uint8",), has_quality=True, max_side=16383),
    "avif": FormatInfo(suffixes=(".avif",), holds=("uint8", "uint16"), has_quality=True, max_side=16384),
    "heif": FormatInfo(suffixes=(".heic", ".heif"), holds=("uint8", "uint16"), has_quality=True, max_side=16384),
    "bmp": FormatInfo(suffixes=(".bmp",), holds=("uint8",)),
    "ppm": FormatInfo(suffixes=(".ppm", ".pgm"), holds=("uint8", "uint16"), alpha=False),
}
SUFFIXES: dict[str, Format] = {suffix: name for name, info in FORMATS.items() for suffix in info.suffixes}

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"BM", "bmp"),
    (b"P5", "ppm"),
    (b"P6", "ppm"),
)
_BRANDS: dict[bytes, Format] = {b"avif": "avif", b"avis": "avif"}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself before its pixels are decoded, and what is kept of it in the restored file."""

    width: int
    """Of the upright image, in pixels: the EXIF orientation is applied to the pixels and dropped."""
    height: int
    format: Format
    channels: int
    """Colour channels, 1 (grey) or 3 (RGB)."""
    alpha: bool
    pixel_type: PixelType
    """Integers over their full range; float32 with white at 1."""
    bits: int
    """Of each value as the file stores it; 10 or 12 in some AVIF."""
    lossless: bool
    """Whether the file's compression kept every pixel; decides how WebP is written."""
    metadata: Mapping[str, tuple[str, Any]]
    """libvips' fields worth keeping, ICC profile, EXIF and XMP among them: name to (type name, value)."""
    notes: tuple[str, ...] = ()
    """What the restored file cannot keep as it was, in words."""

    @property
    def bands(self) -> int:
        """Values of a pixel, alpha included."""
        return self.channels + self.alpha

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row."""
        return self.width * self.bands * np.dtype(self.pixel_type).itemsize

    def converted(self, file_format: Format | None, bits: int | None) -> Header:
        """The header of a file in another format or depth (8, 16 or 32 bits); None keeps what is.

        A format that cannot hold the depth takes the deepest that it can, and a note says so.

        Raises:
            ImageError: the format cannot hold the depth asked for, the alpha channel or the size.
        """
        chosen = file_format or self.format
        info = FORMATS[chosen]
        kind, notes = PIXEL_TYPES[bits] if bits else self.pixel_type, self.notes
        if kind not in info.holds:
            if bits:
                raise ImageError(f"{chosen} cannot hold {bits} bits; choose another --format or --depth")
            kind = info.holds[-1]
            notes = (*notes, f"{self.pixel_type} became {kind}, the most that {chosen} holds")
        if self.alpha and not info.alpha:
            raise ImageError(f"{chosen} cannot hold its alpha channel; choose another --format")
        if max(self.width, self.height) > info.max_side:
            raise ImageError(f"{chosen} holds at most {info.max_side} pixels a side; choose another --format")
        kept = chosen == self.format and kind == self.pixel_type
        natural = 8 * np.dtype(kind).itemsize
        return dataclasses.replace(
            self, format=chosen, pixel_type=kind, bits=self.bits if kept else natural, notes=notes,
            lossless=self.lossless and (kept or not info.has_quality or self.format != "jpeg"),
        )  # fmt: skip


def sniff(start: bytes) -> Format | None:
    """The format that a file's first 16 bytes say it is; None if none of ours."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "heif" if start[8:12] in _HEIF_BRANDS else None)
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)
