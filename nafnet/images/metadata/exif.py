"""EXIF: made true for an upright picture without moving a byte, and carried into TIFF's own directory and out of it.

A camera's maker note may point to bytes by their place in the whole block, so a block that is written anew breaks it.
Source: Exif 3.0 (CIPA DC-008, 2023), sections 4.5 and 4.6.
"""

from __future__ import annotations

from typing import BinaryIO

from nafnet.images.metadata.ifd import EXIF, Directory, Read, following, read_directory, write_directory

START = b"Exif\0\0"
MAKER_NOTE = 37500
_ORIENTATION, _SIDES, _PIXELS = 274, (256, 257), (40962, 40963)
_THUMBNAIL, _THUMBNAIL_BYTES = 513, 514
_DENSITY, _UNIT = (282, 283), 296
_MILLIMETRES = {2: 25.4, 3: 10.0}
_OF_THE_PIXELS = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284),
    *(288, 289, 290, 291, 292, 293, 296, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334),
    *(336, 337, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347, 351, *range(512, 522), 529, 530, 531, 532, 559, 560),
    *(32995, 32996, 32997, 32998, 33421, 33422),
}
"""Tags of a TIFF that say how its pixels lie; a file's encoder writes its own."""
_ELSEWHERE = {700, 33723, 34377, 34675, 37724}
"""XMP, IPTC, Photoshop's resources, the profile, which are carried apart, and Photoshop's layers."""
_ONLY_BIG = 16
"""Types from here on only BigTIFF has."""
_SELF_CONTAINED = (b"Nikon\0\2", b"FUJIFILM", b"OLYMPUS\0", b"OM SYSTEM\0", b"Apple iOS\0", b"PENTAX \0")
"""Maker notes whose positions count from their own start: they may be moved."""


def upright(block: bytes, width: int, height: int) -> bytes:
    """The block for an upright picture of that size: orientation 1, its sides in pixels, no thumbnail.

    Every value stays at its place.

    Raises:
        ValueError: it is damaged.
    """
    block = block.removeprefix(START)
    read = reader_of(block)
    directory = read_directory(read)
    if directory.big:
        raise ValueError("it is BigTIFF")
    data = bytearray(block)
    _set(data, directory, _ORIENTATION, 1)
    for tags, where in ((_SIDES, directory), (_PIXELS, directory.children.get(EXIF))):
        for tag, value in zip(tags, (width, height), strict=True):
            if where:
                _set(data, where, tag, value)
    thumbnail = following(read, directory)
    if directory.following:
        data[directory.following_at : directory.following_at + 4] = bytes(4)
    if thumbnail:
        _remove(data, thumbnail.number(_THUMBNAIL), thumbnail.number(_THUMBNAIL_BYTES))
    return bytes(data)


def _set(data: bytearray, directory: Directory, tag: int, value: int) -> None:
    if directory.number(tag) is not None:
        entry = directory.entries[tag]
        packed = directory.packed(tag, value)
        data[entry.at : entry.at + len(packed)] = packed


def _remove(data: bytearray, at: int | None, size: int | None) -> None:
    """A thumbnail goes: off the end if it lies there, as it does in most files, or else under zeros."""
    if at is None or size is None or not 8 < at < len(data):
        return
    end = min(at + size, len(data))
    if end == len(data):
        del data[at:]
    else:
        data[at:end] = bytes(end - at)


def reader_of(block: bytes) -> Read:
    """Read a block that is in memory."""
    return lambda at, size: block[at : at + size]


def reader_of_file(file: BinaryIO) -> Read:
    """Read a file that is open."""

    def read(at: int, size: int) -> bytes:
        try:
            file.seek(at)
        except (OverflowError, OSError):  # a position that no file has
            return b""
        return file.read(size)

    return read


def exif_block(directory: Directory) -> bytes:
    """The block of what a TIFF's first directory says beside its pixels; empty if that is nothing."""
    told = described(directory)
    if not told.entries and not told.children:
        return b""
    return _block(told)


def _block(directory: Directory) -> bytes:
    start = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[directory.order]
    return start + write_directory(directory, len(start), directory.order)


def described(directory: Directory) -> Directory:
    """What of a directory is carried into another file: all but what lies as the pixels do, or is carried apart."""
    entries = {
        tag: entry for tag, entry in directory.entries.items()
        if tag not in _OF_THE_PIXELS and tag not in _ELSEWHERE and entry.kind < _ONLY_BIG
    }  # fmt: skip
    children = dict(directory.children)
    if EXIF in children and not can_move_maker_note(directory):
        kept = {tag: entry for tag, entry in children[EXIF].entries.items() if tag != MAKER_NOTE}
        children[EXIF] = Directory(order=directory.order, entries=kept, children=children[EXIF].children)
    return Directory(order=directory.order, entries=entries, children=children)


def can_move_maker_note(directory: Directory) -> bool:
    """Whether its maker note, if it has one, is still true where its block is written anew."""
    note = directory.children[EXIF].entries.get(MAKER_NOTE) if EXIF in directory.children else None
    return note is None or note.data.startswith(_SELF_CONTAINED)


def without_maker_note(block: bytes) -> bytes:
    """The block written anew without the camera's own notes, which are most of the large ones.

    Raises:
        ValueError: it is damaged.
    """
    directory = read_directory(reader_of(block))
    if EXIF in directory.children:
        directory.children[EXIF].entries.pop(MAKER_NOTE, None)
    return _block(directory)


def density(directory: Directory) -> tuple[float, float] | None:
    """Pixels per millimetre, across and down, of a TIFF's or EXIF's first directory; None where it says none."""
    unit = directory.number(_UNIT)
    if unit not in (None, *_MILLIMETRES):
        return None
    across, down = (directory.ratio(tag) / _MILLIMETRES[unit or 2] for tag in _DENSITY)
    return (across, down) if across and down else None


def density_of(block: bytes) -> tuple[float, float] | None:
    """`density` of a block.

    Raises:
        ValueError: it is damaged.
    """
    return density(read_directory(reader_of(block)))


def keeps_maker_note_in_tiff(block: bytes) -> bool:
    """Whether the camera's own notes, if there are any, hold in a TIFF.

    Raises:
        ValueError: it is damaged.
    """
    return can_move_maker_note(read_directory(reader_of(block)))
