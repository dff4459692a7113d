"""PNG's chunks: a size, a name, content and a check sum.

Source: Portable Network Graphics, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nafnet.images.containers.splice import splice
from nafnet.images.metadata.metadata import Metadata

_START = 8
"""Bytes of the signature."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_CALIBRATION = (b"gAMA", b"cHRM")
_XMP = b"XML:com.adobe.xmp\0"
_MOST_COLOUR_BYTES = 64
_DENSITY = struct.Struct(">IIB")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk, with the file at its content; a damaged one ends them."""
    at = _START
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        yield name, size
        at += 12 + size


def is_animated(path: Path) -> bool:
    """Whether an acTL chunk stands before the pixels."""
    with path.open("rb") as file:
        return next((name for name, _ in _chunks(file) if name in (b"acTL", b"IDAT")), None) == b"acTL"


def read_png(path: Path, most: int) -> tuple[dict[str, Any], list[str]]:
    """Of `Metadata` the fields codes, density, calibration and texts, and in words what of them is not kept.

    Args:
        path: of a PNG.
        most: bytes of all texts together.
    """
    codes, density, calibration, texts, lost, room = None, None, [], [], [], most
    with path.open("rb") as file:
        for name, size in _chunks(file):
            if name in _TEXTS and size > room:
                lost.append(f"a text of {size / 2**20:.0f} MB not kept: at most {most / 2**20:.0f} MB are")
            elif name in _TEXTS:
                content = file.read(size)
                if not content.startswith(_XMP):
                    texts.append((name.decode(), content))
                    room -= size
            elif name in _CALIBRATION and size <= _MOST_COLOUR_BYTES:
                calibration.append((name.decode(), file.read(size)))
            elif name == b"cICP" and size == 4:
                codes = tuple(file.read(2))
            elif name == b"pHYs" and size == _DENSITY.size:
                across, down, unit = _DENSITY.unpack(file.read(size))
                density = (across / 1000, down / 1000) if unit and across and down else None
    return {"codes": codes, "density": density, "calibration": tuple(calibration), "texts": tuple(texts)}, lost


def write_png(path: Path, metadata: Metadata) -> None:
    """Put what libvips does not write before the pixels of a PNG, and take out the density that it makes up."""
    with path.open("rb") as file:
        before = []
        for name, size in _chunks(file):
            if name == b"IDAT":
                break
            before.append((name, file.read(size)))
    old = sum(12 + len(content) for _, content in before)
    kept = [chunk for chunk in before if chunk[0] not in (b"pHYs", b"eXIf", *_TEXTS)]
    new = [*kept[:1], *_of(metadata), *kept[1:]]
    splice(path, _START, old, b"".join(_chunk(name, content) for name, content in new))


def _of(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    if metadata.codes:
        yield b"cICP", bytes((*metadata.codes, 0, 1))  # of RGB, over the full range
    for name, content in (*metadata.calibration, *metadata.texts):
        yield name.encode(), content
    if metadata.xmp:  # libvips writes it as text in Latin-1
        yield b"iTXt", _XMP + b"\0\0\0\0" + metadata.xmp  # not compressed, no language, no translated keyword
    if metadata.density:
        across, down = (max(1, min(round(1000 * value), 2**31 - 1)) for value in metadata.density)
        yield b"pHYs", _DENSITY.pack(across, down, 1)  # per metre
    if metadata.exif:
        yield b"eXIf", metadata.exif


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
