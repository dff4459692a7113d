"""JPEG's segments before the pixels: a marker, a size and content.

Source: ITU-T T.81, annex B; JFIF 1.02; Exif 3.0 (CIPA DC-008, 2023), section 4.7; CIPA DC-007 (multi-picture format);
Ultra HDR 1.1 (Google); ISO 21496-1 (gain maps).
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nafnet.images.containers.splice import splice
from nafnet.images.metadata import photoshop
from nafnet.images.metadata.exif import START as EXIF_START
from nafnet.images.metadata.metadata import Metadata

_START = b"\xff\xd8"
_APP0, _APP1, _APP2, _APP11, _APP13 = 0xE0, 0xE1, 0xE2, 0xEB, 0xED
_COMMENT, _HUFFMAN, _SCAN, _END = 0xFE, 0xC4, 0xDA, 0xD9
_SEQUENTIAL = (0xC0, 0xC1)
_AC, _END_OF_BLOCK = 0x10, 0
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker: neither a value of 255 nor a restart, which stand among the values of a scan."""
_MOST_ZEROS = 64
"""That stand in a row by chance: 170 coefficients of -1 one after another."""
_STEP = 2**20
_MILLIMETRES = {1: 25.4, 2: 10.0}
"""Of JFIF's units of density: an inch, a centimetre."""
_JFIF, _MANY, _BOXES = b"JFIF\0", b"MPF\0", b"JP"
_GAIN_MAPS = (b"urn:iso:std:iso:ts:21496:-1\0", b"http://ns.adobe.com/hdr-gain-map/1.0/")
"""What stands in a picture that has one: a segment of ISO 21496-1, or a name space of its XMP."""


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment up to the first scan's, which is the last; a damaged one ends them."""
    file.seek(len(_START))
    while True:
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:  # filled up
            file.seek(-3, 1)
            continue
        marker, size = struct.unpack(">xBH", head)
        if marker == _END or size < 2:
            return
        yield marker, file.read(size - 2)
        if marker == _SCAN:
            return


def hole(path: Path) -> int:
    """Bytes of the first run of zeros that no encoder wrote, as a disk or a card leaves them; 0 if there is none.

    Zeros alone are the shortest code of each block. Only where that code ends a block, so that they say "as before",
    can many stand in a row.
    """
    tables: dict[int, int] = {}
    with path.open("rb") as file:
        sequential, scanned = False, -1
        for marker, content in _segments(file):
            if marker in _SEQUENTIAL:
                sequential = True
            elif marker == _HUFFMAN:
                tables.update(_shortest_codes(content))
            elif marker == _SCAN and len(content) >= 3:
                scanned = content[2] & 15
                break
        if not sequential or tables.get(_AC | scanned, _END_OF_BLOCK) == _END_OF_BLOCK:
            return 0
        return _first_zeros(file)


def _first_zeros(file: BinaryIO) -> int:
    """Bytes of the first long run of zeros in the scan that begins here, read a part at a time."""
    held = b""
    while part := file.read(_STEP):
        data = held + part
        end = _AFTER_SCAN.search(data)  # what follows may be a video, or a card's sectors
        scan = data[: end.start()] if end else data
        if (start := scan.find(bytes(_MOST_ZEROS))) >= 0:
            return len(scan) - start - len(scan[start:].lstrip(b"\0"))
        if end:
            return 0
        held = data[-_MOST_ZEROS:]
    return 0


def _shortest_codes(content: bytes) -> Iterator[tuple[int, int]]:
    """Of each Huffman table in a segment: class and number, and the symbol whose code is all zeros."""
    at = 0
    while at + 17 < len(content):
        yield content[at], content[at + 17]
        at += 17 + sum(content[at + 1 : at + 17])


def is_damage(words: str) -> bool:
    """Whether a warning of the decoder's is one about the picture: not its version, nor bytes between segments."""
    return "orrupt" in words and "extraneous" not in words


def exif_segment(data: bytes) -> bytes:
    """The EXIF block of a JPEG in memory; empty if there is none."""
    for marker, content in _segments(io.BytesIO(data)) if data.startswith(_START) else ():
        if marker == _APP1 and content.startswith(EXIF_START):
            return content.removeprefix(EXIF_START)
    return b""


def read_jpeg(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Of `Metadata` the fields comment, photoshop and density, and in words what is not kept."""
    comments, density, resources, lost = [], None, [], []
    further = gain_map = False
    with path.open("rb") as file:
        for marker, content in _segments(file):
            if marker == _COMMENT:
                comments.append(content)
            elif marker == _APP13 and content.startswith(photoshop.START):
                resources.append(content.removeprefix(photoshop.START))
            elif marker == _APP0 and content.startswith(_JFIF) and len(content) >= 12:
                unit, across, down = struct.unpack_from(">BHH", content, 7)
                if unit in _MILLIMETRES and across and down:
                    density = (across / _MILLIMETRES[unit], down / _MILLIMETRES[unit])
            elif marker == _APP2 and content.startswith(_MANY):
                further = True
            elif marker in (_APP1, _APP2) and any(name in content for name in _GAIN_MAPS):
                gain_map = True
            elif marker == _APP11 and content.startswith(_BOXES):
                lost.append("content credentials not kept: they are of the picture before")
    if gain_map:
        lost.append("HDR gain map not kept")
    elif further:
        lost.append("the further pictures in it not kept: a preview, or another view")
    lost += ["a second comment not kept"] if len(comments) > 1 else []
    fields = {"comment": comments[0] if comments else b"", "density": density}
    return {**fields, "photoshop": photoshop.without_stale(b"".join(resources))}, lost


def write_jpeg(path: Path, metadata: Metadata) -> None:
    """Put what libvips does not write, or not as it was, before the other segments of a JPEG."""
    unit, across, down = 0, 1, 1
    if metadata.density:
        unit = 1
        across, down = (max(1, min(round(_MILLIMETRES[unit] * value), 65535)) for value in metadata.density)
    jfif = _JFIF + struct.pack(">HBHHBB", 0x0102, unit, across, down, 0, 0)
    with path.open("rb") as file:
        parts = [(_APP0, jfif)] if next(_segments(file), (0, b""))[0] != _APP0 else []
    if metadata.exif:
        parts.append((_APP1, EXIF_START + metadata.exif))
    if metadata.comment:
        parts.append((_COMMENT, metadata.comment))
    made = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in parts)
    splice(path, len(_START), 0, made)
