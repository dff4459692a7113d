"""What a TIFF's first directory says, before the decoder sees it: kinds that it gets wrong are refused by name.

Source: TIFF 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF (Aware Systems, 2007); DNG 1.7 (Adobe), "DNGVersion".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _PLANES, _TILE_WIDTH, _SAMPLE_FORMAT, _DNG = 254, 259, 262, 284, 322, 339, 50706
_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Of the types of whole numbers: a byte, a short, a long, and BigTIFF's long."""
_MOST_ENTRIES = 4096


def refusal(path: Path) -> str | None:
    """Why a TIFF is not restored; None where nothing speaks against it.

    Raises:
        OSError: it cannot be read.
    """
    tags = first_directory(path)
    if _DNG in tags or tags.get(_SUBFILE, 0) & 1:
        return "a raw file, of which only the preview could be read; develop it first, into a TIFF of 16 bits"
    if tags.get(_COMPRESSION) == 6:
        return "a TIFF with old-style JPEG inside (compression 6), which comes out black; convert it first"
    if tags.get(_PHOTOMETRIC) == 8:
        return "a TIFF in CIELAB; expected grey, RGB, or CMYK with a profile: convert it first"
    if tags.get(_PHOTOMETRIC) == 0 and tags.get(_SAMPLE_FORMAT) == 3:
        return "a TIFF of floats in which white is 0; convert it first"
    if tags.get(_PLANES) == 2 and _TILE_WIDTH in tags:
        return "a TIFF whose colours lie in tiles of their own; convert it first"
    return None


def first_directory(path: Path) -> dict[int, int]:
    """The first value of each tag of whole numbers; of a damaged directory as much as there is."""
    tags: dict[int, int] = {}
    try:
        with path.open("rb") as file:
            start = file.read(8)
            order = "<" if start[:2] == b"II" else ">"
            big = struct.unpack(order + "H", start[2:4])[0] == 43
            file.seek(struct.unpack(order + ("Q" if big else "I"), file.read(8) if big else start[4:8])[0])
            count = _number(file, order, "Q" if big else "H")
            for _ in range(min(count, _MOST_ENTRIES)):
                entry = file.read(20 if big else 12)
                tag, kind = struct.unpack(order + "HH", entry[:4])
                if kind in _SIZES:
                    size = struct.calcsize(_SIZES[kind])
                    at = 12 if big else 8  # after the number of values; several shorts share the place of the first
                    many = struct.unpack(order + ("Q" if big else "I"), entry[4:at])[0]
                    if many * size <= len(entry) - at:
                        tags[tag] = struct.unpack(order + _SIZES[kind], entry[at : at + size])[0]
    except (struct.error, OverflowError, ValueError):
        pass  # cut short: the decoder will say so
    return tags


def _number(file: BinaryIO, order: str, kind: str) -> int:
    (value,) = struct.unpack(order + kind, file.read(struct.calcsize(kind)))
    return int(value)
