"""The meta box of an AVIF or HEIF file: its items, their properties, and where their parts lie.

Source: ISO/IEC 14496-12 (boxes, iloc, iinf), ISO/IEC 23008-12 (items, properties).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

_UNSPECIFIED = 2
_MATRIX_BT601 = 6
"""Of YCbCr, as libheif's encoder writes it unless it is told otherwise."""
_MOST_META_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Box:
    """Four letters, and where it, its content and its end are, in bytes from the start of the data."""

    name: bytes
    start: int
    content: int
    end: int


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[Box]:
    """The boxes between two positions; a damaged one ends them."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            return
        yield Box(name, start, start + 8, start + size)
        start += size


_Field = tuple[int, int]
"""Position and bytes of a number."""


@dataclasses.dataclass(frozen=True)
class _Item:
    """One item of iloc: where it says where its parts lie."""

    number: int
    base: _Field
    offsets: list[_Field]
    lengths: list[_Field]


class MetaBox:
    """The meta box of a file, in memory, and where it stands.

    What a damaged file lets it read past ends in ValueError, struct.error or IndexError, here as in its methods.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.at, self.data = _found(path)
        boxes = {box.name: box for box in _boxes(self.data, 12, len(self.data))}  # after version and flags
        if not {b"pitm", b"iprp", b"iloc", b"iinf"} <= boxes.keys():
            raise ValueError("its meta box lacks what a picture needs")
        inner = {box.name: box for box in _boxes(self.data, boxes[b"iprp"].content, boxes[b"iprp"].end)}
        if not {b"ipco", b"ipma"} <= inner.keys():
            raise ValueError("its meta box lacks properties")
        self.iprp, self.ipco, self.ipma = boxes[b"iprp"], inner[b"ipco"], inner[b"ipma"]
        self.iloc, self.iinf = boxes[b"iloc"], boxes[b"iinf"]
        wide = self.data[boxes[b"pitm"].content] > 0
        (self.primary,) = struct.unpack_from(">I" if wide else ">H", self.data, boxes[b"pitm"].content + 4)

    def associations(self) -> tuple[int, int, list[int]]:
        """Of the primary picture: where their number stands, where they end, and which properties they are."""
        data, at = self.data, self.ipma.content
        version, flags = data[at], data[at + 3]
        (count,) = struct.unpack_from(">I", data, at + 4)
        at += 8
        for _ in range(count):
            (item,) = struct.unpack_from(">I" if version else ">H", data, at)
            number_at = at + (4 if version else 2)
            number, wide = data[number_at], bool(flags & 1)
            at = number_at + 1 + number * (1 + wide)
            if at > self.ipma.end:
                break
            if item == self.primary:
                table = struct.unpack_from(f">{number}{'H' if wide else 'B'}", data, number_at + 1)
                return number_at, at, [value & (0x7FFF if wide else 0x7F) for value in table]
        raise ValueError("its primary picture has no properties")

    def properties(self) -> list[Box]:
        """Of the primary picture."""
        known = list(_boxes(self.data, self.ipco.content, self.ipco.end))
        return [known[index - 1] for index in self.associations()[2] if 0 < index <= len(known)]

    def entries(self) -> Iterator[Box]:
        """What is said of each item."""
        version = self.data[self.iinf.content]
        return _boxes(self.data, self.iinf.content + (8 if version else 6), self.iinf.end)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Number and type of each item."""
        for box in self.entries():
            wide = self.data[box.content] > 2
            number, _, kind = struct.unpack_from(">IH4s" if wide else ">HH4s", self.data, box.content + 4)
            yield number, kind

    def codes(self) -> tuple[int, int] | None:
        """Primaries and transfer of the primary picture."""
        for box in self.properties():
            if box.name == b"colr":
                kind, primaries, transfer = struct.unpack_from(">4sHH", self.data, box.content)
                if kind == b"nclx" and _UNSPECIFIED not in (primaries, transfer) and max(primaries, transfer) < 256:
                    return primaries, transfer
        return None

    def add_codes(self, codes: tuple[int, int]) -> None:
        """Give the primary picture a property of its colours; everything that lies behind the box moves."""
        colour = struct.pack(">I4s4sHHHB", 19, b"colr", b"nclx", *codes, _MATRIX_BT601, 0x80)
        number_at, end, _ = self.associations()
        index = len(list(_boxes(self.data, self.ipco.content, self.ipco.end))) + 1
        wide = bool(self.data[self.ipma.content + 3] & 1)
        association = struct.pack(">H" if wide else ">B", index)
        self._move_items(len(colour) + len(association))
        self.data[number_at] += 1
        parts = [(end, association, self.ipma), (self.ipco.end, colour, self.ipco)]
        for where, made, box in sorted(parts, key=lambda part: -part[0]):
            self.data[where:where] = made
            for start in (box.start, self.iprp.start, 0):
                self._grow(start, len(made))

    def _grow(self, at: int, by: int) -> None:
        struct.pack_into(">I", self.data, at, struct.unpack_from(">I", self.data, at)[0] + by)

    def _located(self) -> Iterator[_Item]:
        """What lies in the file, and not in the box itself."""
        data, at = self.data, self.iloc.content
        version = data[at]
        offset, length = data[at + 4] >> 4, data[at + 4] & 15
        base, index = data[at + 5] >> 4, (data[at + 5] & 15 if version else 0)
        (count,) = struct.unpack_from(">I" if version == 2 else ">H", data, at + 6)
        at += 10 if version == 2 else 8
        for _ in range(count):
            (item,) = struct.unpack_from(">I" if version == 2 else ">H", data, at)
            at += 4 if version == 2 else 2
            in_file = not version or data[at + 1] & 15 == 0
            at += 4 if version else 2
            base_at, at = at, at + base
            (extents,) = struct.unpack_from(">H", data, at)
            at += 2
            step = index + offset + length
            places = [at + number * step + index for number in range(extents)]
            if in_file:
                yield _Item(
                    item,
                    (base_at, base),
                    [(place, offset) for place in places],
                    [(place + offset, length) for place in places],
                )
            at += extents * step

    def _number(self, field: _Field) -> int:
        at, size = field
        return int.from_bytes(self.data[at : at + size], "big")

    def _set(self, field: _Field, value: int) -> None:
        at, size = field
        self.data[at : at + size] = value.to_bytes(size, "big")

    def _move_items(self, by: int) -> None:
        """What lies behind the box moves. The base is moved where there is one: some readers look at nothing else."""
        end = self.at + len(self.data)
        for item in list(self._located()):
            base = self._number(item.base)
            if base >= end:
                self._set(item.base, base + by)
                continue
            for offset in item.offsets:
                if base + self._number(offset) >= end:
                    self._set(offset, self._number(offset) + by)

    def place_exif(self, start: int, size: int) -> None:
        """Say that the EXIF lies elsewhere in the file.

        Raises:
            ValueError: there is no item for it.
        """
        for number, kind in self.items():
            for item in self._located() if kind == b"Exif" else ():
                if item.number == number and len(item.offsets) == 1:
                    if item.base[1]:
                        self._set(item.base, start)
                        self._set(item.offsets[0], 0)
                    else:
                        self._set(item.offsets[0], start)
                    self._set(item.lengths[0], size)
                    return
        raise ValueError("it has no item for EXIF")


def _found(path: Path) -> tuple[int, bytearray]:
    with path.open("rb") as file:
        at = 0
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name == b"meta" and 12 <= size <= _MOST_META_BYTES:
                return at, bytearray(head + file.read(size - 8))
            if size < 8:
                break
            at += size
            file.seek(at)
    raise ValueError("it has no meta box")
