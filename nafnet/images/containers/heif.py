"""AVIF's and HEIF's boxes: which colours the primary picture is in, and where its EXIF lies.

Source: ISO/IEC 14496-12 (boxes, iloc, iinf), ISO/IEC 23008-12 (items, properties, annex A on EXIF), AVIF 1.1 (AOM).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nafnet.images.containers.splice import splice
from nafnet.images.metadata.exif import START as EXIF_START
from nafnet.images.metadata.metadata import Metadata

_UNSPECIFIED = 2
_MATRIX_BT601 = 6
"""Of YCbCr, as libheif's encoder writes it unless it is told otherwise."""
_MOST_META_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class _Box:
    name: bytes
    start: int
    content: int
    end: int


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[_Box]:
    """The boxes between two positions; a damaged one ends them."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            return
        yield _Box(name, start, start + 8, start + size)
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


class _Meta:
    """The meta box of a file, in memory, and where it stands."""

    def __init__(self, path: Path) -> None:
        self.at, self.data = _meta(path)
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

    def properties(self) -> list[_Box]:
        """Of the primary picture."""
        known = list(_boxes(self.data, self.ipco.content, self.ipco.end))
        return [known[index - 1] for index in self.associations()[2] if 0 < index <= len(known)]

    def entries(self) -> Iterator[_Box]:
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


def _meta(path: Path) -> tuple[int, bytearray]:
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
        meta = _Meta(path)
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
        return {"codes": _Meta(path).codes()}, []
    except (ValueError, struct.error, IndexError):
        return {}, []  # what holds no such box in its place says no colours


def write_heif(path: Path, metadata: Metadata) -> None:
    """Give the picture that libvips wrote its colours, and its EXIF as it is in place of the one libvips wrote.

    Raises:
        ValueError: it is not laid out as libheif does.
    """
    if not metadata.codes and not metadata.exif:
        return
    meta = _Meta(path)
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
