"""Directories of TIFF, in which EXIF is written too: read within bounds.

Source: TIFF 6.0 (Adobe, 1992), section 2; BigTIFF (Aware Systems, 2007); Exif 3.0 (CIPA DC-008, 2023), section 4.6.
"""

from __future__ import annotations

import contextlib
import dataclasses
import struct
from collections.abc import Callable

Read = Callable[[int, int], bytes]
"""Gives so many bytes from a position, or fewer where they end."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}
_RATIO = 5
EXIF, GPS, INTEROP = 34665, 34853, 40965
"""Tags that hold the position of a directory of their own."""
_WITHIN = {EXIF: (INTEROP,), GPS: (), INTEROP: ()}
_OF_RAW = (0x4F52, 0x5352, 0x55)
"""Versions of ORF and RW2, which are laid out as TIFF is."""
_SUBDIRECTORIES = 330
_MOST_DIRECTORIES = 64
_MOST_ENTRIES = 4096
_MOST_CHANNELS = 256
_MOST_BYTES = 16 * 2**20
"""Of all values of a block together: previews and layers are not metadata, and a few bytes can be named many times."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """The values of one tag."""

    kind: int
    """One of `SIZES`."""
    count: int
    data: bytes
    """In the byte order of its directory."""
    at: int = 0
    """Where they lie in what was read."""


@dataclasses.dataclass(kw_only=True)
class Directory:
    """One directory and those in it."""

    order: str
    """``<`` or ``>``, as `struct` has it."""
    big: bool = False
    entries: dict[int, Entry] = dataclasses.field(default_factory=dict)
    """Those of `children` are not among them. Of a tag that stands there twice, the first."""
    again: list[tuple[int, Entry]] = dataclasses.field(default_factory=list)
    """The others."""
    left_out: set[int] = dataclasses.field(default_factory=set)
    """Tags whose values are damaged, lie outside or are too large."""
    children: dict[int, Directory] = dataclasses.field(default_factory=dict)
    following: int = 0
    """Where the next one lies; 0 if there is none,"""
    following_at: int = 0
    """and where that is said."""

    def number(self, tag: int) -> int | None:
        """The first value of a tag of whole numbers; None where there is none."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _NUMBERS:
            return None
        return int(struct.unpack_from(self.order + _NUMBERS[entry.kind], entry.data)[0])

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag of whole numbers; empty where there are none, or more than a picture has channels."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _NUMBERS or entry.count > _MOST_CHANNELS:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_NUMBERS[entry.kind]}", entry.data)

    def ratio(self, tag: int) -> float:
        """The first value of a tag of ratios; 0 where there is none."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind != _RATIO:
            return 0.0
        above, below = struct.unpack_from(self.order + "II", entry.data)
        return above / below if below else 0.0

    def all_of(self, tag: int) -> list[Entry]:
        """The entries of a tag of whole numbers."""
        found = [self.entries[tag]] if tag in self.entries else []
        found += [entry for other, entry in self.again if other == tag]
        return [entry for entry in found if entry.kind in _NUMBERS]

    def packed(self, entry: Entry, value: int) -> bytes:
        """A whole number in an entry's type; shorter types are filled up to their largest."""
        kind = _NUMBERS[entry.kind]
        return struct.pack(self.order + kind, min(value, 256 ** struct.calcsize(kind) // (1 + kind.islower()) - 1))


def read_directory(read: Read) -> Directory:
    """Read the first directory of a block and, where they stand, those of EXIF in it.

    Values that are damaged, lie outside or with those before take more than 16 MB are left out.

    Raises:
        ValueError: there is none.
    """
    read = _bounded(read)
    order, big, at, _ = _header(read)
    return _directory(read, at, order, big, (EXIF, GPS))


def _header(read: Read) -> tuple[str, bool, int, int]:
    """Byte order, whether it is BigTIFF, the place of the first directory, and where that is said."""
    start = read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    version = struct.unpack(order + "H", start[2:4])[0] if order and len(start) >= 8 else 0
    if version not in (42, 43, *_OF_RAW):
        raise ValueError(f"starts with {start[:4]!r}; expected II or MM and 42")
    big = version == 43
    said_at = 8 if big else 4
    return order, big, _offset(start[said_at:], order, big), said_at


def _bounded(read: Read) -> Read:
    left = _MOST_BYTES

    def bounded(at: int, size: int) -> bytes:
        nonlocal left
        if size > left:
            return b""
        left -= size
        return read(at, size)

    return bounded


def following(read: Read, directory: Directory) -> Directory | None:
    """The directory after one; None where there is none that can be read."""
    try:
        return (
            _directory(read, directory.following, directory.order, directory.big, ()) if directory.following else None
        )
    except ValueError:
        return None


def all_directories(read: Read) -> list[Directory]:
    """The first directory, those that follow it, and those in all of them, as far as they can be read.

    Raises:
        ValueError: there is none.
    """
    read = _bounded(read)
    order, big, at, _ = _header(read)
    found: list[Directory] = []
    waiting, seen = [at], {0}
    while waiting and len(found) < _MOST_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        with contextlib.suppress(ValueError):
            found.append(_directory(read, at, order, big, ()))
            waiting += [*_places(found[-1]), found[-1].following]
    return found


def _places(directory: Directory) -> list[int]:
    """Where the directories of further pictures lie that one names."""
    entry = directory.entries.get(_SUBDIRECTORIES)
    if entry is None or entry.kind not in _NUMBERS or entry.count > _MOST_DIRECTORIES:
        return []
    return list(struct.unpack(f"{directory.order}{entry.count}{_NUMBERS[entry.kind]}", entry.data))


def _directory(read: Read, at: int, order: str, big: bool, within: tuple[int, ...]) -> Directory:
    directory = Directory(order=order, big=big)
    head, width = (8, 20) if big else (2, 12)
    start = read(at, head)
    if len(start) < head:
        raise ValueError(f"its directory lies outside, at byte {at}")
    count = struct.unpack(order + ("Q" if big else "H"), start)[0]
    if count > _MOST_ENTRIES:
        raise ValueError(f"a directory of {count} entries; at most {_MOST_ENTRIES} are read")
    table = read(at + head, count * width)
    for place in range(0, len(table) - width + 1, width):
        _read_entry(read, directory, table[place : place + width], at + head + place)
    for tag in within:
        child = directory.number(tag)
        if child is not None:
            del directory.entries[tag]
            try:
                directory.children[tag] = _directory(read, child, order, big, _WITHIN[tag])
            except ValueError:
                directory.left_out.add(tag)
    directory.following_at = at + head + count * width
    after = read(directory.following_at, width - 12 or 4)
    directory.following = _offset(after, order, big) if len(after) == (8 if big else 4) else 0
    return directory


def _read_entry(read: Read, directory: Directory, raw: bytes, at: int) -> None:
    """Take up one entry: tag, type, number of values, and the values or where they lie."""
    order, big = directory.order, directory.big
    tag, kind = struct.unpack(order + "HH", raw[:4])
    count, room = _offset(raw[4:], order, big), raw[12:] if big else raw[8:]
    size = SIZES.get(kind, 0) * count
    where = at + len(raw) - len(room) if size <= len(room) else _offset(room, order, big)
    data = read(where, size) if 0 < size <= _MOST_BYTES else b""
    if data and len(data) == size:
        entry = Entry(kind, count, data, where)
        if directory.entries.setdefault(tag, entry) is not entry:
            directory.again.append((tag, entry))
    else:
        directory.left_out.add(tag)


def _offset(data: bytes, order: str, big: bool) -> int:
    return int(struct.unpack_from(order + ("Q" if big else "I"), data.ljust(8, b"\0"))[0])


def raw_entries(read: Read) -> tuple[dict[int, bytes], str, bool, int, int]:
    """The entries of a TIFF's first directory as they stand, its byte order, whether it is BigTIFF, where
    the directory's position is said, and that of the next page's; 0 of the last."""
    order, big, at, pointer = _header(read)
    head, width = (8, 20) if big else (2, 12)
    count = struct.unpack(order + ("Q" if big else "H"), read(at, head))[0]
    table = read(at + head, count * width)
    following = struct.unpack(order + ("Q" if big else "I"), read(at + head + len(table), 8 if big else 4))[0]
    rows = [table[place : place + width] for place in range(0, len(table), width)]
    return {struct.unpack(order + "H", row[:2])[0]: row for row in rows}, order, big, pointer, following
