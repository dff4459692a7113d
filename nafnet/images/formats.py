"""The file formats of photographs: their names and first bytes, and what each can hold."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from nafnet.images.pixels import PixelType

Format = Literal["png", "jpeg", "tiff", "webp", "avif", "heif", "bmp", "ppm", "raw", "jxl", "gif"]

DEFAULT_QUALITY = 95
"""Of formats that are written with loss."""
# A file of a few hundred kilobytes can claim more pixels than a machine has memory for.
MAX_PIXELS = 1_000_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatInfo:
    """What a format can hold."""

    suffixes: tuple[str, ...]
    """Of file names, in lower case; the first is given to new names."""
    holds: tuple[PixelType, ...]
    read_suffixes: tuple[str, ...] = ()
    """Of further names that are read; what comes of them gets the first of the others."""
    alpha: bool = True
    has_quality: bool = False
    """Whether it is written with loss, at a quality of 1 to 100."""
    max_side: int = 2**31 - 1
    several: Literal["", "pages", "animation"] = ""
    """What a file of it may hold several of."""
    written_as: Format | None = None
    """What becomes of a file of a format that is read alone."""


FORMATS: dict[Format, FormatInfo] = {
    "png": FormatInfo(suffixes=(".png",), holds=("uint8", "uint16"), several="animation"),
    "jpeg": FormatInfo(
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        holds=("uint8",),
        read_suffixes=(".mpo",),
        alpha=False,
        has_quality=True,
        max_side=65535,
    ),
    "tiff": FormatInfo(suffixes=(".tif", ".tiff"), holds=("uint8", "uint16", "float32"), several="pages"),
    "webp": FormatInfo(suffixes=(".webp",), holds=("uint8",), has_quality=True, max_side=16383, several="animation"),
    "avif": FormatInfo(
        suffixes=(".avif",), holds=("uint8", "uint16"), has_quality=True, max_side=16384, several="animation"
    ),
    "gif": FormatInfo(suffixes=(".gif",), holds=(), written_as="webp"),
    "heif": FormatInfo(suffixes=(".heic", ".heif"), holds=(), written_as="jpeg"),
    "bmp": FormatInfo(suffixes=(".bmp",), holds=("uint8",)),
    "ppm": FormatInfo(
        suffixes=(".ppm", ".pgm", ".pnm"), holds=("uint8", "uint16"), read_suffixes=(".pbm",), alpha=False
    ),
    "jxl": FormatInfo(suffixes=(".jxl",), holds=("uint8", "uint16", "float32"), has_quality=True, max_side=2**30 - 1),
    "raw": FormatInfo(
        suffixes=(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"), holds=(), written_as="tiff"
    ),
}
WRITTEN: tuple[Format, ...] = tuple(name for name, info in FORMATS.items() if not info.written_as)
SUFFIXES: dict[str, Format] = {
    suffix: name for name, info in FORMATS.items() for suffix in info.suffixes + info.read_suffixes
}
WRITTEN_SUFFIXES: tuple[str, ...] = tuple(suffix for name in WRITTEN for suffix in FORMATS[name].suffixes)

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"IIU\0", "raw"),  # RW2
    (b"IIRO", "raw"),  # ORF
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
)
_AVIF_BRANDS = (b"avif", b"avis")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")

SNIFFED = 256
"""Bytes."""


def sniff(start: bytes) -> Format | None:
    """The format that a file's first bytes say it is; None if none of ours.

    16 bytes do for most. AVIF and HEIF may begin with a brand that both have, and name others in the first `SNIFFED`.
    A raw file that is laid out as a TIFF is one as far as these bytes go.
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[:4] == b"II*\0" and start[8:10] == b"CR":  # CR2
        return "raw"
    if start[4:8] == b"ftyp":
        if start[8:12] == b"crx ":  # CR3
            return "raw"
        end = min(int.from_bytes(start[:4], "big"), len(start))
        if any(start[at : at + 4] in _AVIF_BRANDS for at in (8, *range(16, end, 4))):
            return "avif"
        return "heif" if start[8:12] in _HEIF_BRANDS else None
    if re.match(rb"P[1-6][\s#]", start):
        return "ppm"
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)
