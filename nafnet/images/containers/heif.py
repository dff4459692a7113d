"""What AVIF and HEIF files say beside their picture: its colours, its EXIF, how it is turned.

Source: ISO/IEC 23008-12 (items, properties, annex A on EXIF), AVIF 1.1 (AOM).
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

from nafnet.images.containers.metabox import MetaBox
from nafnet.images.containers.splice import splice
from nafnet.images.metadata.exif import START as EXIF_START
from nafnet.images.metadata.metadata import Metadata


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a file says that it holds; of a damaged one as much as can be read."""

    brand: bytes = b""
    """Its major one."""
    kinds: frozenset[bytes] = frozenset()
    """Types of its items: hvc1, av01, grid, Exif, tmap."""
    quarter: bool = False
    """Whether its primary picture is stored turned by a quarter."""
    named: bool = True
    """Whether the names and types of its items are text."""


def parts(path: Path) -> Parts:
    """What a file says that it holds.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        brand = file.read(12)[8:]
    try:
        meta = MetaBox(path)
        kinds = frozenset(kind for _, kind in meta.items())
        named = all(_is_text(bytes(meta.data[box.content : box.end])) for box in meta.entries())
        turns = [meta.data[box.content] & 1 for box in meta.properties() if box.name == b"irot"]
        return Parts(brand, kinds, sum(turns) % 2 == 1, named)
    except (ValueError, struct.error, IndexError):
        return Parts(brand)  # its decoder will say what is wrong


def _is_text(entry: bytes) -> bool:
    """Whether an item's type, name and type of content are, which follow its two numbers."""
    try:
        entry[12 if entry[0] > 2 else 8 :].decode()
    except UnicodeDecodeError:
        return False
    return True


def read_heif(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Of `Metadata` the field codes."""
    try:
        return {"codes": MetaBox(path).codes()}, []
    except (ValueError, struct.error, IndexError):
        return {}, []  # what holds no such box in its place says no colours


def write_heif(path: Path, metadata: Metadata) -> None:
    """Give the picture that libvips wrote its colours, and its EXIF as it is in place of the one libvips wrote.

    Raises:
        ValueError: it is not laid out as libheif does.
    """
    if not metadata.codes and not metadata.exif:
        return
    meta = MetaBox(path)
    before = len(meta.data)
    if metadata.codes:
        meta.add_codes(metadata.codes)
    if metadata.exif:
        content = struct.pack(">I", len(EXIF_START)) + EXIF_START + metadata.exif
        with path.open("rb+") as file:
            end = file.seek(0, 2)
            file.write(struct.pack(">I4s", 8 + len(content), b"mdat") + content)
        meta.place_exif(end + 8 + len(meta.data) - before, len(content))
    splice(path, meta.at, before, bytes(meta.data))
