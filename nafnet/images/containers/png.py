"""PNG's chunks: a size, a name, content and a check sum.

Source: Portable Network Graphics, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from nafnet.images.containers.chunks import chunks
from nafnet.images.containers.png_text import TEXTS, holds_profile, profile_in, text_of
from nafnet.images.containers.splice import splice
from nafnet.images.metadata.metadata import WORDS, Metadata

_START = 8
"""Bytes of the signature."""
_CALIBRATION = (b"gAMA", b"cHRM", b"mDCV", b"cLLI")
_READ = (b"eXIf", b"cICP", b"pHYs", *TEXTS, *_CALIBRATION)
_LOST = {b"caBX": "content credentials not kept: they are of the picture before"}
_XMP = b"XML:com.adobe.xmp\0"
_DENSITY = struct.Struct(">IIB")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk up to the end mark, with the file at its content."""
    for name, size, _ in chunks(file, _START, _parse):
        yield name, size
        if name == b"IEND":
            return


def _parse(head: bytes) -> tuple[bytes, int, int]:
    size, name = struct.unpack(">I4s", head)
    return name, size, size + 4  # the check sum


def is_animated(path: Path) -> bool:
    """Whether it has more than one picture: several frames, or one beside the picture that it has without them."""
    with path.open("rb") as file:
        frames, first = 0, False
        for name, size in _chunks(file):
            if name == b"acTL":
                content = file.read(8)
                frames = int.from_bytes(content[:4], "big") if size == 8 else 0
            first = first or name == b"fcTL"  # before the pixels, which then are the first frame
            if name == b"IDAT":
                break
    return frames > 1 or (frames == 1 and not first)


def read_png(path: Path, most: int) -> tuple[dict[str, Any], list[str]]:
    """Of `Metadata` all that a PNG has beside the profile, and in words what of it is not kept.

    Args:
        path: of a PNG.
        most: bytes of all chunks together, and of one that is compressed when it is not any more.
    """
    fields: dict[str, Any] = {"codes": None, "density": None, "exif": b"", "xmp": b""}
    texts: list[tuple[str, bytes]] = []
    calibration: dict[str, bytes] = {}
    lost, room, profiles = [], most, []
    with path.open("rb") as file:
        for name, size in _chunks(file):
            if name in _LOST:
                lost.append(_LOST[name])
            if name not in _READ:
                continue
            room -= size + 12
            if room < 0:
                lost.append(f"texts not kept: with what else it carries they are over {most / 2**20:.0f} MB")
                break
            content = file.read(size)
            if name == b"eXIf":
                fields["exif"] = content
            elif name == b"cICP" and size == 4:
                fields["codes"] = tuple(content[:2])
            elif name == b"pHYs" and size == _DENSITY.size:
                across, down, unit = _DENSITY.unpack(content)
                fields["density"] = (across / 1000, down / 1000) if unit and across and down else None
            elif name in _CALIBRATION:
                calibration.setdefault(name.decode(), content)
            elif content.startswith(_XMP):
                fields["xmp"] = text_of(name, content, most)
                lost += [] if fields["xmp"] else [f"XMP not kept: it is damaged, or over {most / 2**20:.0f} MB"]
            elif name in TEXTS and holds_profile(content):
                profiles.append(profile_in(name, content, most))
            elif name in TEXTS:
                texts.append((name.decode(), content))
    for kind, data in profiles:
        if not data or fields[kind]:
            why = "the file has another" if data else "it is damaged"
            lost.append(f"{WORDS[kind]} in a text not kept: {why}")
        else:
            fields[kind] = data
    return {**fields, "calibration": tuple(calibration.items()), "texts": tuple(texts)}, lost


def write_png(path: Path, metadata: Metadata) -> None:
    """Put what libvips does not write before the pixels of a PNG, and take out the density that it makes up."""
    with path.open("rb") as file:
        before = []
        for name, size in _chunks(file):
            if name == b"IDAT":
                break
            before.append((name, file.read(size)))
    old = sum(12 + len(content) for _, content in before)
    kept = [chunk for chunk in before if chunk[0] not in (b"pHYs", b"eXIf", *TEXTS)]
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
