"""Photoshop's image resources, in which JPEG keeps IPTC: blocks of a signature, a number, a name and content.

Source: Adobe Photoshop file formats specification (2019), "Image resource blocks"; IPTC IIM 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

START = b"Photoshop 3.0\0"
"""What precedes them in JPEG."""
_SIGNATURE = b"8BIM"
_SIGNATURES = (_SIGNATURE, b"PHUT", b"AgHg", b"DCSR", b"MeSa")
_IPTC, _DIGEST = 0x0404, 0x0425
_STALE = (0x0409, 0x040C, 0x0422, 0x0423, 0x0424)
"""Thumbnails, and copies of EXIF and XMP, which are carried themselves."""


def resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number of each, its content, and the block whole; the first that is damaged ends them."""
    at = 0
    while data[at : at + 4] in _SIGNATURES and at + 7 <= len(data):
        number, name = struct.unpack(">HB", data[at + 4 : at + 7])
        content = at + 6 + (name + 2) // 2 * 2  # the name and its length are filled up to an even number
        if content + 4 > len(data):
            return
        (size,) = struct.unpack(">I", data[content : content + 4])
        end = content + 4 + size
        if end > len(data):
            return
        yield number, data[content + 4 : end], data[at:end] + b"\0" * (size % 2)
        at = end + size % 2


def without_stale(data: bytes) -> bytes:
    """The resources that are true of the restored picture, too."""
    return b"".join(block for number, _, block in resources(data) if number not in _STALE)


def iptc(data: bytes) -> bytes:
    """The IPTC records among the resources; empty if there are none."""
    return next((content for number, content, _ in resources(data) if number == _IPTC), b"")


def in_order(records: bytes) -> bytes:
    """IPTC records, of which some programs write every four bytes in a TIFF the other way round."""
    if records[:1] == b"\x1c" or records[3:4] != b"\x1c":
        return records
    return b"".join(records[at : at + 4][::-1] for at in range(0, len(records), 4))


def with_iptc(data: bytes, records: bytes) -> bytes:
    """The resources with other IPTC records; the digest of those before goes."""
    block = _SIGNATURE + struct.pack(">HHI", _IPTC, 0, len(records)) + records + b"\0" * (len(records) % 2)
    return block + b"".join(block for number, _, block in resources(data) if number not in (_IPTC, _DIGEST))
