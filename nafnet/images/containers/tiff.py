"""TIFF's first directory: the kinds that the decoder gets wrong, refused by name; and all it says beside the pixels.

Source: TIFF 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF (Aware Systems, 2007); DNG 1.7 (Adobe), "DNGVersion";
Photoshop TIFF technical notes (Adobe, 2002).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from nafnet.images.metadata import photoshop
from nafnet.images.metadata.exif import can_move_maker_note, density, described, exif_block, reader_of, reader_of_file
from nafnet.images.metadata.ifd import Directory, Entry, all_directories, raw_entries, read_directory, write_directory
from nafnet.images.metadata.metadata import Metadata
from nafnet.words import counted

_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _PLANES, _TILE_WIDTH, _SAMPLE_FORMAT, _DNG = 254, 259, 262, 284, 322, 339, 50706
_WIDTH, _HEIGHT, _RAW = 256, 257, (32803, 34892)
"""Photometric interpretations: a mosaic of colours; linear values of a sensor."""
_UNIT, _IPTC, _PHOTOSHOP, _LAYERS = 296, 33723, 34377, 37724
_BYTES = 7
"""The type of bytes without a meaning."""


def first_directory(path: Path) -> Directory:
    """What stands in the first directory; of a damaged one as much as there is.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            return read_directory(reader_of_file(file))
        except ValueError:
            return Directory(order="<")  # the decoder will say so


def refusal(path: Path) -> str | None:
    """Why a TIFF is not restored; None where nothing speaks against it.

    Raises:
        OSError: it cannot be read.
    """
    first = first_directory(path)
    number = first.number
    if _DNG in first.entries or (number(_SUBFILE) or 0) & 1:
        return "a raw file, of which only the preview could be read; develop it first, into a TIFF of 16 bits"
    if number(_COMPRESSION) == 6:
        return "a TIFF with old-style JPEG inside (compression 6), which comes out black; convert it first"
    if number(_PHOTOMETRIC) == 8:
        return "a TIFF in CIELAB; expected grey, RGB, or CMYK with a profile: convert it first"
    if number(_PHOTOMETRIC) == 0 and number(_SAMPLE_FORMAT) == 3:
        return "a TIFF of floats in which white is 0; convert it first"
    if number(_PLANES) == 2 and number(_TILE_WIDTH) is not None:
        return "a TIFF whose colours lie in tiles of their own; convert it first"
    return None


def mosaic(path: Path) -> tuple[int, int] | None:
    """Width and height of a camera's raw picture in a TIFF, the largest; None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            found = all_directories(reader_of_file(file))
        except ValueError:
            return None
    sizes = [
        (directory.number(_WIDTH) or 0, directory.number(_HEIGHT) or 0)
        for directory in found
        if directory.number(_PHOTOMETRIC) in _RAW
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def read_tiff(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Of `Metadata` the fields exif, photoshop and density, and in words what is not kept."""
    first = first_directory(path)
    resources = first.entries[_PHOTOSHOP].data if _PHOTOSHOP in first.entries else b""
    if _IPTC in first.entries:
        resources = photoshop.with_iptc(resources, photoshop.in_order(first.entries[_IPTC].data))
    lost = [] if can_move_maker_note(first) else ["the camera's own notes not kept: they hold only where they stood"]
    if _LAYERS in first.entries.keys() | first.left_out:
        lost.append("Photoshop's layers not kept: they are of the picture before")
    inner = [directory.left_out for directory in first.children.values()]
    if missing := len(set().union(first.left_out - {_LAYERS}, *inner)):
        lost.append(f"{counted(missing, 'tag')} not kept: damaged, or too large")
    fields = {"exif": exif_block(first), "photoshop": photoshop.without_stale(resources), "density": density(first)}
    return fields, lost


def write_tiff(path: Path, metadata: Metadata) -> None:
    """Give a TIFF that libvips wrote a directory that says all of it; the one before stays in the file, unused."""
    with path.open("rb") as file:
        raw, order, big, pointer, following = raw_entries(reader_of_file(file))
        end = file.seek(0, 2)
    directory = Directory(order=order)
    if metadata.exif:
        directory = described(read_directory(reader_of(metadata.exif)))
    for tag, data in ((_PHOTOSHOP, metadata.photoshop), (_IPTC, photoshop.iptc(metadata.photoshop))):
        if data:
            directory.entries[tag] = Entry(_BYTES, len(data), data)
    if not metadata.density:  # libvips makes one up; without a unit it is only the shape of a pixel
        del raw[_UNIT]
        directory.entries[_UNIT] = Entry(3, 1, struct.pack(directory.order + "H", 1))
    at = end + end % 2
    block = write_directory(directory, at, order, big=big, as_they_are=raw, following=following)
    with path.open("rb+") as file:
        file.seek(end)
        file.write(b"\0" * (end % 2) + block)
        file.seek(pointer)
        file.write(struct.pack(order + ("Q" if big else "I"), at))
