"""JPEG XL's boxes, and the first bits of its code stream: whether it is lossless, turned, an animation.

Source: ISO/IEC 18181-1 (code stream: annexes B and D), ISO/IEC 18181-2 (container).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from nafnet.images.containers.splice import splice
from nafnet.images.metadata.metadata import Metadata

BARE = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
_START = 4096
"""Bytes of the code stream that are looked at."""
MOST_BOX_BYTES = 32 * 2**20
"""Of EXIF or XMP; a larger one is not read."""
_NAMES = {b"Exif": "EXIF", b"xml ": "XMP"}
Unpack = Callable[[bytes, int], bytes]
ALPHA, _SPOT, _MOSAIC = 0, 2, 5
"""Types of channels beside colour whose headers are longer than others'."""


_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Of width to height, that a picture may name in place of its width."""


@dataclasses.dataclass(frozen=True)
class Stream:
    """What a code stream says of its picture."""

    size: tuple[int, int] = (0, 0)
    """Width and height as it is stored; zeros where it does not say."""
    lossless: bool = False
    quarter: bool = False
    """Whether it is stored turned by a quarter."""
    animation: bool = False
    extra: tuple[int, ...] = ()
    """Types of its channels beside colour; 0 is alpha."""


class _Bits:
    """Reads numbers, their lowest bits first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def __call__(self, count: int) -> int:
        if count > self._left:
            raise ValueError("it ends early")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def one_of(self, *choices: tuple[int, int]) -> int:
        """A choice of two bits, each of which is a sum: a number, and further bits."""
        base, count = choices[self(2)]
        return base + self(count)


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name of each box of a container, and where its content starts and ends; a damaged one ends them."""
    end = file.seek(0, 2)
    at = 0
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = int.from_bytes(file.read(8), "big"), 16
        size = size or end - at  # the last may reach to the end
        if size < head or at + size > end:
            return
        yield name, at + head, at + size
        at += size


def stream(path: Path) -> Stream:
    """What a file's code stream says; of one that is damaged, or says more than is read here, nothing.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) == BARE:
            file.seek(0)
            return _stream(file.read(_START))
        names = list(boxes(file))
        was_jpeg = any(name == b"jbrd" for name, _, _ in names)
        for name, start, _ in names:
            if name in (b"jxlc", b"jxlp"):
                file.seek(start + (4 if name == b"jxlp" else 0))
                parts = _joined(file, names) if name == b"jxlp" else file.read(_START)
                found = _stream(parts)
                return dataclasses.replace(found, lossless=found.lossless and not was_jpeg)
    return Stream()


def _joined(file: BinaryIO, names: list[tuple[bytes, int, int]]) -> bytes:
    """The start of a code stream that lies in parts, each after its number."""
    data = b""
    for name, start, end in names:
        if name == b"jxlp" and len(data) < _START:
            file.seek(start + 4)
            data += file.read(max(min(end - start - 4, _START), 0))
    return data


def _stream(data: bytes) -> Stream:
    try:
        return _header(_Bits(data.removeprefix(BARE)))
    except (ValueError, IndexError):
        return Stream()


def _header(bits: _Bits) -> Stream:
    """SizeHeader and ImageMetadata, up to the flag that says whether colours are kept as they are."""
    size = _size(bits)
    if bits(1):  # all as by default, which is with loss
        return Stream(size)
    turn = 1
    if bits(1):
        turn = bits(3) + 1
        if bits(1):
            _size(bits)
        if bits(1):
            return Stream(size, quarter=turn > 4)  # a preview, which nobody writes
        if bits(1):
            return Stream(size, animation=True)
    _depth(bits)
    bits(1)
    extra = tuple(_channel(bits) for _ in range(bits.one_of((0, 0), (1, 0), (2, 4), (1, 12))))
    return Stream(size, lossless=not bits(1), quarter=turn > 4, extra=extra)


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height."""
    small = bits(1)
    height = _side(bits, small)
    ratio = bits(3)
    if not ratio:
        return _side(bits, small), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits(5) + 1)
    return bits.one_of((1, 9), (1, 13), (1, 18), (1, 30))


def _depth(bits: _Bits) -> None:
    if bits(1):
        bits.one_of((32, 0), (16, 0), (24, 0), (1, 6))
        bits(4)
    else:
        bits.one_of((8, 0), (10, 0), (12, 0), (1, 6))


def _channel(bits: _Bits) -> int:
    """The type of a channel beside colour."""
    if bits(1):
        return ALPHA
    kind = bits.one_of((0, 0), (1, 0), (2, 4), (18, 6))
    _depth(bits)
    bits.one_of((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.one_of((0, 0), (0, 4), (16, 5), (48, 10))):
        bits(8)
    if kind == ALPHA:
        bits(1)
    elif kind == _SPOT:
        bits(64)
    elif kind == _MOSAIC:
        bits.one_of((1, 0), (0, 2), (3, 4), (19, 8))
    return kind


def read_jxl(path: Path, unpacked: Unpack | None) -> tuple[dict[str, bytes], list[str]]:
    """Of `Metadata` the fields exif and xmp, and in words what is not kept.

    Args:
        path: of the file.
        unpacked: gives what Brotli compressed, of which only so many bytes are wanted; None where it is not there.

    Raises:
        OSError: it cannot be read.
    """
    fields: dict[str, bytes] = {}
    lost = []
    with path.open("rb") as file:
        if file.read(len(CONTAINER)) != CONTAINER:
            return {}, []
        for name, start, end in boxes(file):
            file.seek(start)
            data = (
                file.read(end - start) if name in (b"Exif", b"xml ", b"brob") and end - start < MOST_BOX_BYTES else b""
            )
            if name == b"brob":
                name, data = data[:4], data[4:]
                if name in _NAMES and unpacked is None:
                    lost.append(f"{_NAMES[name]} not kept: it is compressed, and brotli is not installed")
                data = unpacked(data, MOST_BOX_BYTES) if unpacked and name in _NAMES else b""
                if unpacked and name in _NAMES and not data:
                    lost.append(f"{_NAMES[name]} not kept: damaged, or too large")
            if name == b"xml " and data:
                fields.setdefault("xmp", data)
            elif name == b"Exif" and len(data) > 4:
                fields.setdefault("exif", data[4 + int.from_bytes(data[:4], "big") :])
    return fields, lost


def write_jxl(path: Path, metadata: Metadata) -> None:
    """Give a file that the encoder wrote its EXIF and XMP, in boxes behind the picture.

    Raises:
        OSError: the disk refused.
    """
    added = [*_box(b"Exif", bytes(4) + metadata.exif)] if metadata.exif else []
    added += _box(b"xml ", metadata.xmp) if metadata.xmp else []
    if not added:
        return
    with path.open("rb") as file:
        bare, end = file.read(2) == BARE, file.seek(0, 2)
    if bare:
        splice(path, 0, 0, CONTAINER + _FILE_TYPE + struct.pack(">I4sQ", 1, b"jxlc", end + 16))
    with path.open("ab") as file:
        file.writelines(added)


def _box(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    return struct.pack(">I4s", 8 + len(content), name), content
