"""WebP's chunks: RIFF, a name, a size, content filled up to an even number.

Source: RFC 9649 (WebP Image Format), section 2.
"""

from __future__ import annotations

import struct
from pathlib import Path

from nafnet.images.containers.chunks import chunks
from nafnet.images.containers.splice import splice
from nafnet.images.metadata.metadata import Metadata

_START = 12
_FRAME = 16
"""Bytes of a frame before its picture."""


def _parse(head: bytes) -> tuple[bytes, int, int]:
    name, size = struct.unpack("<4sI", head)
    return name, size, size + size % 2


def is_lossless(path: Path) -> bool:
    """Whether the picture, or the first of an animation, is a VP8L chunk."""
    with path.open("rb") as file:
        for name, _, at in chunks(file, _START, _parse):
            if name == b"ANMF":
                file.seek(at + 8 + _FRAME)
                name = file.read(4)
                return name == b"VP8L"
            if name in (b"VP8 ", b"VP8L"):
                return name == b"VP8L"
    return False


def write_webp(path: Path, metadata: Metadata) -> None:
    """Put an EXIF block as it is into the place of the one that libvips wrote."""
    if not metadata.exif:
        return
    with path.open("rb") as file:
        written = next(((at, size) for name, size, at in chunks(file, _START, _parse) if name == b"EXIF"), None)
    if written:
        at, size = written
        block = metadata.exif + b"\0" * (len(metadata.exif) % 2)
        splice(path, at, 8 + size + size % 2, struct.pack("<4sI", b"EXIF", len(metadata.exif)) + block)
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
