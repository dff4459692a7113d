"""Photoshop's image resources, in which JPEG keeps IPTC: blocks of a signature, a number, a name and content.

Source: Adobe Photoshop file formats specification (2019), "Image resource blocks"; IPTC IIM 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

START = b"Photoshop 3.0\0"
"""What precedes them in JPEG."""
_SIGNATURE = b"8BIM"
_IPTC, _DIGEST = 0x0404, 0x0425
_THUMBNAILS = (0x0409, 0x040C)


def resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number of each and the block whole; the first that is damaged ends them."""
    at = 0
    while data[at : at + 4] == _SIGNATURE and at + 7 <= len(data):
        number, name = struct.unpack(">HB", data[at + 4 : at + 7])
        content = at + 6 + (name + 2) // 2 * 2  # the name and its length are filled up to an even number
        if content + 4 > len(data):
            return
        (size,) = struct.unpack(">I", data[content : content + 4])
        end = content + 4 + size
        if end > len(data):
            return
        yield number, data[at:end] + b"\0" * (size % 2)
        at = end + size % 2


def without_thumbnails(data: bytes) -> bytes:
    """The resources that are true of another picture, too."""
    return b"".join(block for number, block in resources(data) if number not in _THUMBNAILS)


def iptc(data: bytes) -> bytes:
    """The IPTC records among the resources; empty if there are none."""
    for number, block in resources(data):
        if number == _IPTC:
            start = 6 + (block[6] + 2) // 2 * 2
            (size,) = struct.unpack(">I", block[start : start + 4])
            return block[start + 4 : start + 4 + size]
    return b""


def with_iptc(data: bytes, records: bytes) -> bytes:
    """The resources with other IPTC records; the digest of those before goes."""
    block = _SIGNATURE + struct.pack(">HHI", _IPTC, 0, len(records)) + records + b"\0" * (len(records) % 2)
    return block + b"".join(block for number, block in resources(data) if number not in (_IPTC, _DIGEST))
