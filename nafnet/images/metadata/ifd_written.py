"""Directories of TIFF written anew, in either byte order.

Source: TIFF 6.0 (Adobe, 1992), section 2; BigTIFF (Aware Systems, 2007).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from nafnet.images.metadata.ifd import SIZES, Directory, Entry

_WORDS = {**SIZES, 5: 4, 10: 4}
"""Bytes that change their order together: a ratio is two numbers."""
_USER_COMMENT, _UNICODE = 37510, b"UNICODE\0"


def write_directory(
    directory: Directory,
    at: int,
    order: str,
    *,
    big: bool = False,
    as_they_are: Mapping[int, bytes] | None = None,
    following: int = 0,
) -> bytes:
    """A directory to stand at byte `at`, an even number; its values and those in it follow.

    Args:
        directory: in any byte order.
        at: where it will stand.
        order: to write in.
        big: whether in BigTIFF's form.
        as_they_are: further entries, whole: what `raw_entries` gave.
        following: where the next page's directory stands; 0 of the last.
    """
    raw = dict(as_they_are or {})
    tags = sorted({*directory.entries, *directory.children, *raw})
    head, width = (8, 20) if big else (2, 12)
    count, place = ("Q", 8) if big else ("H", 4)
    end = at + head + len(tags) * width + place
    table, body, size = [struct.pack(order + count, len(tags))], [], 0
    for tag in tags:
        if tag in raw:
            table.append(raw[tag])
            continue
        here = end + size
        if tag in directory.children:
            block = write_directory(directory.children[tag], here, order, big=big)
            kind, number, value = 4 if not big else 18, 1, _at(here, order, big)
        else:
            entry = directory.entries[tag]
            kind, number, block = entry.kind, entry.count, _turned(tag, entry, directory.order, order)
            value, block = (block.ljust(place, b"\0"), b"") if len(block) <= place else (_at(here, order, big), block)
        table.append(struct.pack(order + "HH", tag, kind) + _at(number, order, big) + value)
        body.append(block + b"\0" * (len(block) % 2))
        size += len(body[-1])
    return b"".join((*table, _at(following, order, big), *body))


def _at(value: int, order: str, big: bool) -> bytes:
    return struct.pack(order + ("Q" if big else "I"), value)


def _turned(tag: int, entry: Entry, given: str, wanted: str) -> bytes:
    """Its values in the wanted byte order."""
    size, start = _WORDS[entry.kind], b""
    if tag == _USER_COMMENT and entry.data.startswith(_UNICODE):  # bytes, by its type
        size, start = 2, _UNICODE
    if given == wanted or size == 1:
        return entry.data
    data = entry.data[len(start) :]
    return start + b"".join(data[place : place + size][::-1] for place in range(0, len(data), size))
