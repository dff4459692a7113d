"""EXIF of cameras' raw files, which LibRaw does not give: of those laid out as TIFF is, of Canon's CR3, of Fuji's RAF.

Sources: ISO/IEC 14496-12 (boxes); Exif 3.0 (CIPA DC-008, 2023), section 4.7. Makers do not publish the rest: CR3 has a
block of TIFF for each of EXIF's directories, in the boxes CMT1 to CMT4 (L. Clevy, "Describing the Canon Raw v3"); RAF
says at byte 84 where a JPEG lies that has the EXIF (LibRaw, `parse_fuji`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nafnet.images.containers.jpeg import exif_segment
from nafnet.images.metadata.exif import can_move_maker_note, exif_block, of_camera, reader_of, reader_of_file
from nafnet.images.metadata.ifd import EXIF, GPS, Directory, read_directory

NOT_MOVED = "the camera's own notes not kept: they hold only where they stood"
_RAF, _PREVIEW_AT = b"FUJIFILMCCD-RAW", 84
_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_MOST = 16 * 2**20
"""Bytes that are looked at: previews lie beside these boxes."""


def camera_metadata(path: Path) -> tuple[bytes, bytes, list[str]]:
    """EXIF and XMP of a raw file, empty where there is none or it is damaged, and in words what is not kept.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
        if start.startswith(_RAF):
            return _of_raf(file), b"", []
        if start[4:8] == b"ftyp":
            return _of_cr3(file)
        block, packet = of_camera(path)
        try:
            lost = [] if not block or can_move_maker_note(read_directory(reader_of_file(file))) else [NOT_MOVED]
        except ValueError:
            lost = []
    return block, packet, lost


def _of_raf(file: BinaryIO) -> bytes:
    """The block in the preview; its own notes count from their start, and it is not moved."""
    file.seek(_PREVIEW_AT)
    place = file.read(8)
    if len(place) < 8:
        return b""
    at, size = struct.unpack(">II", place)
    file.seek(at)
    return exif_segment(file.read(min(size, _MOST)))


def _of_cr3(file: BinaryIO) -> tuple[bytes, bytes, list[str]]:
    file.seek(0)
    parts: dict[bytes, bytes] = {}
    for name, content in _boxes(file.read(_MOST)):
        for kind, inner in _boxes(content) if name == b"moov" else ():
            if kind == b"uuid" and inner.startswith(_CANON):
                parts |= dict(_boxes(inner[len(_CANON) :]))
    directories = {name: found for name in (b"CMT1", b"CMT2", b"CMT4") if (found := _directory(parts.get(name, b"")))}
    first = directories.get(b"CMT1")
    if first is None:
        return b"", b"", []
    children = {tag: directories[name] for tag, name in ((EXIF, b"CMT2"), (GPS, b"CMT4")) if name in directories}
    whole = Directory(order=first.order, entries=first.entries, children=children)
    return exif_block(whole), b"", [NOT_MOVED] if b"CMT3" in parts else []


def _directory(block: bytes) -> Directory | None:
    """The first one of a block; None where it is empty or damaged."""
    try:
        found = read_directory(reader_of(block))
    except ValueError:
        return None
    return found if found.entries else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box; a damaged one, or one that is cut off, ends them."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        yield name, data[at + 8 : at + size]
        at += size
