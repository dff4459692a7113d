"""WebP's chunks: RIFF, a name, a size, content filled up to an even number.

Source: RFC 9649 (WebP Image Format), section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from nafnet.images.containers.splice import splice
from nafnet.images.metadata.metadata import Metadata

_START = 12


def _chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and whole size of each chunk; a damaged one ends them."""
    with path.open("rb") as file:
        at = _START
        while True:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8:
                return
            name, size = struct.unpack("<4sI", head)
            yield name, at, 8 + size + size % 2
            at += 8 + size + size % 2


def is_lossless(path: Path) -> bool:
    """Whether the picture is a VP8L chunk."""
    return next((name for name, _, _ in _chunks(path) if name in (b"VP8 ", b"VP8L")), None) == b"VP8L"


def write_webp(path: Path, metadata: Metadata) -> None:
    """Put an EXIF block as it is into the place of the one that libvips wrote."""
    if not metadata.exif:
        return
    for name, at, size in _chunks(path):
        if name == b"EXIF":
            block = metadata.exif + b"\0" * (len(metadata.exif) % 2)
            splice(path, at, size, struct.pack("<4sI", name, len(metadata.exif)) + block)
            break
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
