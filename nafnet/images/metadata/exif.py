"""EXIF: made true for an upright picture without moving a byte, and carried into TIFF's own directory and out of it.

A camera's maker note may point to bytes by their place in the whole block, so a block that is written anew breaks it.
Source: Exif 3.0 (CIPA DC-008, 2023), sections 4.5 and 4.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nafnet.images.metadata.ifd import EXIF, INTEROP, Directory, Entry, Read, following, read_directory
from nafnet.images.metadata.ifd_written import write_directory

START = b"Exif\0\0"
MAKER_NOTE = 37500
_ORIENTATION, _SIDES, _PIXELS, _RELATED = 274, (256, 257), (40962, 40963), (4097, 4098)
_SUBJECT = (37396, 41492)
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
_ELSEWHERE = {400, 700, 33723, 34377, 34675, 37724, *range(50706, 51200)}
"""XMP, IPTC, Photoshop's resources, the profile, which are carried apart; Photoshop's layers; places of directories;
what DNG says of a raw picture."""
_XMP = 700
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432)
"""Tags of TIFF and EXIF on who took a picture of what, when and with what."""
_MOVABLE = 13
"""Types from here on are places in the file, or BigTIFF's alone."""
_SELF_CONTAINED = (b"Nikon\0\2", b"FUJIFILM", b"OLYMPUS\0", b"OM SYSTEM\0", b"Apple iOS\0", b"PENTAX \0")
"""Maker notes whose positions count from their own start: they may be moved."""


def upright(block: bytes, width: int, height: int, *, quarter: bool = False) -> tuple[bytes, list[str]]:
    """The block for an upright picture of that size, and what of it is not true, in words.

    Orientation 1, its sides in pixels, no thumbnail; every value stays at its place.

    Args:
        block: with or without what precedes it in JPEG.
        width: in pixels.
        height: likewise.
        quarter: whether the picture was turned by a quarter, so that across became down.

    Raises:
        ValueError: it is damaged.
    """
    block = block.removeprefix(START)
    read = reader_of(block)
    directory = read_directory(read)
    if directory.big:
        raise ValueError("it is BigTIFF")
    inner = directory.children.get(EXIF, Directory(order=directory.order))
    data = bytearray(block)
    _set(data, directory, _ORIENTATION, 1)
    places = ((_SIDES, directory), (_PIXELS, inner), (_RELATED, inner.children.get(INTEROP, inner)))
    for tags, where in places:
        for tag, value in zip(tags, (width, height), strict=True):
            _set(data, where, tag, value)
    if quarter:
        _swap(data, *(directory.entries.get(tag) for tag in _DENSITY))
    thumbnail = following(read, directory)
    if directory.following:
        data[directory.following_at : directory.following_at + 4] = bytes(4)
    if thumbnail:
        _remove(data, directory, thumbnail.number(_THUMBNAIL), thumbnail.number(_THUMBNAIL_BYTES))
    made = read_directory(reader_of(bytes(data)))
    if made.number(_ORIENTATION) not in (None, 1) or made.entries.keys() != directory.entries.keys():
        raise ValueError("its values lie over one another")
    stale = quarter and any(tag in inner.entries for tag in _SUBJECT)
    return bytes(data), ["the place of its subject in EXIF is the one before turning"] if stale else []


def orientation(block: bytes) -> int:
    """How a picture is to be turned, 1 to 8; 1, as it stands, where nothing valid says so."""
    try:
        said = read_directory(reader_of(block.removeprefix(START))).number(_ORIENTATION)
    except ValueError:
        return 1
    return said if said and said <= 8 else 1


def _set(data: bytearray, directory: Directory, tag: int, value: int) -> None:
    for entry in directory.all_of(tag):
        packed = directory.packed(entry, value)
        data[entry.at : entry.at + len(packed)] = packed


def _swap(data: bytearray, one: Entry | None, other: Entry | None) -> None:
    if one and other and len(one.data) == len(other.data):
        data[one.at : one.at + len(one.data)], data[other.at : other.at + len(one.data)] = other.data, one.data


def _remove(data: bytearray, directory: Directory, at: int | None, size: int | None) -> None:
    """A thumbnail goes: off the end if it lies there, as it does in most files, or else under zeros.

    One that claims the bytes of something else stays, and nothing names it any more.
    """
    if at is None or size is None or not 8 < at < len(data):
        return
    end = min(at + size, len(data))
    if any(start < end and at < stop for start, stop in _occupied(directory)):
        return
    if end == len(data):
        del data[at:]
    else:
        data[at:end] = bytes(end - at)


def _occupied(directory: Directory) -> Iterator[tuple[int, int]]:
    for entry in directory.entries.values():
        yield entry.at, entry.at + len(entry.data)
    table = 12 * (len(directory.entries) + len(directory.children) + len(directory.left_out) + len(directory.again))
    yield directory.following_at - table - 2, directory.following_at + 4
    for child in directory.children.values():
        yield from _occupied(child)


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


def of_camera(path: Path) -> tuple[bytes, bytes]:
    """EXIF and XMP of a raw file that is laid out as a TIFF; empty where there is none.

    Of its first directory what photographers put there; the rest is of its preview, or of the sensor.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            first = read_directory(reader_of_file(file))
        except ValueError:
            return b"", b""
    packet = first.entries[_XMP].data if _XMP in first.entries else b""
    entries = {tag: entry for tag, entry in first.entries.items() if tag in _DESCRIPTIVE}
    return exif_block(Directory(order=first.order, entries=entries, children=first.children)), packet


def _block(directory: Directory) -> bytes:
    start = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[directory.order]
    return start + write_directory(directory, len(start), directory.order)


def described(directory: Directory) -> Directory:
    """What of a directory is carried into another file: all but what lies as the pixels do, or is carried apart."""
    entries = {
        tag: entry for tag, entry in directory.entries.items()
        if tag not in _OF_THE_PIXELS and tag not in _ELSEWHERE and entry.kind < _MOVABLE
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


def has_maker_note(block: bytes) -> bool:
    """Whether the camera has put its own notes in.

    Raises:
        ValueError: it is damaged.
    """
    children = read_directory(reader_of(block)).children
    return EXIF in children and MAKER_NOTE in children[EXIF].entries


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
