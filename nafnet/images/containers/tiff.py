"""TIFF's first directory: the kinds that the decoder gets wrong, refused by name; and all it says beside the pixels.

Source: TIFF 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF (Aware Systems, 2007); DNG 1.7 (Adobe), "DNGVersion";
Photoshop TIFF technical notes (Adobe, 2002).
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import Any

from nafnet.images.metadata import photoshop
from nafnet.images.metadata.exif import can_move_maker_note, density, described, exif_block, reader_of, reader_of_file
from nafnet.images.metadata.ifd import Directory, Entry, all_directories, raw_entries, read_directory
from nafnet.images.metadata.ifd_written import write_directory
from nafnet.images.metadata.metadata import Metadata
from nafnet.words import counted

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _PALETTE = 254, 258, 259, 262, 277, 284, 320
_TILE_WIDTH, _INKS, _EXTRA, _SAMPLE_FORMAT, _DNG = 322, 332, 338, 339, 50706
_SEPARATED, _YCBCR, CIELAB, ICCLAB, _JPEG = 5, 6, 8, 9, 7
_KNOWN_COLOURS = (0, 1, 2, 3, _SEPARATED, _YCBCR, CIELAB, ICCLAB)
_COLOURS = {4: "a mask's transparency", 10: "ITULAB", 32844: "LogL", 32845: "LogLuv"}
_SCHEMES = {
    **{34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50002: "JPEG XL"},
    **{32809: "ThunderScan", 32908: "PixarFilm", 32909: "PixarLog", 33003: "JPEG 2000", 33005: "JPEG 2000"},
    **{52546: "JPEG XL", 34676: "SGILog", 34677: "SGILog24", 65000: "Kodak's DCR"},
}
"""Compressions that libvips' wheels are built without."""
_SIGNED, _FLOAT, _COMPLEX, _WHOLE_BITS = 2, 3, (5, 6), (1, 2, 4, 8, 16, 32)
_WIDTH, _HEIGHT, _RAW = 256, 257, (32803, 34892)
"""Photometric interpretations: a mosaic of colours; linear values of a sensor."""
_UNIT, _IPTC, _PHOTOSHOP, _LAYERS = 296, 33723, 34377, 37724
_ICC, _OF_A_PAGE = 34675, (270, 282, 283, 296, 700, 34665)
"""The profile; and description, resolution, XMP and EXIF."""
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


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a TIFF's pixels are, where that is more than grey or RGB of one alpha."""

    lab: int = 0
    """`CIELAB` or `ICCLAB`; 0 where the colours are others,"""
    lab_at: int = 0
    """and where in the file that is said,"""
    as_rgb: bytes = b""
    """and what would say RGB there."""
    extra: tuple[int, ...] = (0,)
    """What each channel beside the colours is: 1 is associated alpha, 2 alpha. Of more than one alone."""
    is_half: bool = False
    """Whether it holds floats of 16 bits."""


PLAIN = Layout()


def layout(first: Directory) -> Layout:
    """What the pixels of a TIFF are."""
    extra = first.numbers(_EXTRA) if not first.number(_PALETTE) else ()
    half = first.number(_SAMPLE_FORMAT) == _FLOAT and first.number(_BITS) == 16
    plain = Layout(extra=extra if len(extra) > 1 else (0,), is_half=half)
    colours, lab = first.entries.get(_PHOTOMETRIC), first.number(_PHOTOMETRIC)
    if colours is None or lab not in (CIELAB, ICCLAB):
        return plain
    return dataclasses.replace(plain, lab=lab, lab_at=colours.at, as_rgb=first.packed(colours, 2))


def read_pages(path: Path) -> tuple[str | None, tuple[str, ...]]:
    """Why not all of several pages can be read as the first is, None where they can; and what of them is not kept."""
    with path.open("rb") as file:
        first, *others = all_directories(reader_of_file(file))
    pages = [page for page in others if _PHOTOMETRIC in page.entries]
    if any((page.number(_SUBFILE) or 0) & 1 for page in pages):
        return "a page of it is a smaller copy of another; split it first", ()
    kind = layout(first), first.numbers(_EXTRA), _content(first, _ICC)
    if any((layout(page), page.numbers(_EXTRA), _content(page, _ICC)) != kind for page in pages):
        return "its pages hold several kinds of colours; split it first", ()
    if reason := next((reason for page in pages if (reason := refusal(page))), None):
        return reason, ()
    lost = any(_content(page, tag) not in (b"", _content(first, tag)) for page in pages for tag in _OF_A_PAGE)
    return None, ("what further pages say of themselves not kept: the first page's stands",) if lost else ()


def _content(page: Directory, tag: int) -> bytes:
    entry = page.entries.get(tag)
    return entry.data if entry else b""


def refusal(first: Directory) -> str | None:
    """Why a TIFF is not restored; None where nothing speaks against it."""
    number = first.number
    if _DNG in first.entries or (number(_SUBFILE) or 0) & 1:
        return "a raw file, of which only the preview could be read; develop it first, into a TIFF of 16 bits"
    why = _compressed(first) or _of_colours(first) or _of_values(first)
    if not why and number(_PLANES) == 2 and number(_TILE_WIDTH) is not None:
        why = "whose colours lie in tiles of their own"
    return f"a TIFF {why}; convert it first" if why else None


def _compressed(first: Directory) -> str:
    scheme, colours = first.number(_COMPRESSION), first.number(_PHOTOMETRIC)
    if scheme == 6:
        return "with old-style JPEG inside (compression 6), which comes out black"
    if colours == _YCBCR and scheme != _JPEG:
        return "in YCbCr that is not compressed as JPEG"
    return f"compressed by {_SCHEMES[scheme]}, which its decoder does not read" if scheme in _SCHEMES else ""


def _of_colours(first: Directory) -> str:
    colours = first.number(_PHOTOMETRIC)
    if colours == 0 and first.number(_SAMPLE_FORMAT) == _FLOAT:
        return "of floats in which white is 0"
    if colours == _SEPARATED and first.number(_INKS) == 2:
        return "of inks that are not cyan, magenta, yellow and black"
    if colours is not None and colours not in _KNOWN_COLOURS:
        return f"in {_COLOURS.get(colours, f'colours of kind {colours}')}"
    return ""


def _of_values(first: Directory) -> str:
    """Of how many bits they are, and what the bits mean."""
    bits, meaning = first.numbers(_BITS) or (1,), first.number(_SAMPLE_FORMAT) or 1
    is_lab = first.number(_PHOTOMETRIC) in (CIELAB, ICCLAB)
    if len(set(bits)) > 1:
        return f"of {', '.join(map(str, bits))} bits a value"
    if meaning in _COMPLEX:
        return "of complex numbers"
    if meaning == _SIGNED and not is_lab:
        return f"of signed whole numbers ({bits[0]} bits), whose black is not agreed on"
    if meaning == _FLOAT:
        return "" if bits[0] in (16, 32) else f"of floats of {bits[0]} bits"
    if bits[0] not in _WHOLE_BITS or (bits[0] < 8 and (first.number(_SAMPLES) or 1) > 1):
        return f"of {bits[0]} bits a value" + (", packed without gaps" if bits[0] < 32 else "")
    return ""


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
