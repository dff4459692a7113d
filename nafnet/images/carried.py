"""What a file carries beside its pixels, read by its decoder and from its bytes, and written the same two ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nafnet.images.containers.heif import read_heif, write_heif
from nafnet.images.containers.jpeg import read_jpeg, write_jpeg
from nafnet.images.containers.png import read_png, write_png
from nafnet.images.containers.tiff import read_tiff, write_tiff
from nafnet.images.containers.webp import write_webp
from nafnet.images.formats import Format
from nafnet.images.metadata import exif, photoshop, xmp
from nafnet.images.metadata.metadata import WORDS, Metadata
from nafnet.images.vips import pyvips

MOST_FIELD_BYTES = 16 * 2**20
"""Of one text, profile or preview: compressed, a small file can hold thousands of megabytes."""
_READERS: dict[Format, Callable[[Path], tuple[dict[str, Any], list[str]]]] = {
    "png": lambda path: read_png(path, MOST_FIELD_BYTES),
    "jpeg": read_jpeg, "tiff": read_tiff, "avif": read_heif, "heif": read_heif,
}  # fmt: skip
_WRITERS: dict[Format, Callable[[Path, Metadata], None]] = {
    "png": write_png, "jpeg": write_jpeg, "tiff": write_tiff, "webp": write_webp, "avif": write_heif,
}  # fmt: skip
XMP_ALONE = "XMP alone says that it is to be turned; it is left as viewers show it"
"""Chromium, Firefox, libvips and ImageMagick turn a picture by EXIF, and do not look into XMP."""
_MOST_DENSITY = 1e5
"""Pixels per millimetre; libvips knows no more."""
_EMPTY_EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
_PLACE_IS_LIBVIPS = ("webp", "avif")
"""Formats in which libvips makes the place of the EXIF, which then is filled."""


def read_metadata(
    path: Path,
    file_format: Format,
    given: Mapping[str, bytes],
    width: int,
    height: int,
    *,
    quarter: bool = False,
    turned: bool = True,
    codes: tuple[int, int] | None = None,
) -> tuple[Metadata, list[str]]:
    """What a file carries, true of the upright picture, and in words what of it is not kept.

    Args:
        path: of the file.
        file_format: that its first bytes say.
        given: icc, exif and xmp as far as the decoder read them.
        width: of the upright picture.
        height: likewise.
        quarter: whether it was turned by a quarter.
        turned: whether something but XMP was asked how it is to be turned, and said so, or the format has a way of
            its own.
        codes: of its colours, as far as the decoder read them.
    """
    fields: dict[str, Any] = {"codes": codes}
    lost = []
    for name, value in given.items():
        if len(value) > MOST_FIELD_BYTES:
            size, most = (count / 2**20 for count in (len(value), MOST_FIELD_BYTES))
            lost.append(f"{WORDS[name]} of {size:.0f} MB not kept: at most {most:.0f} MB are")
        elif value and isinstance(value, bytes):
            fields[name] = value
    if fields.get("icc") and fields["icc"][36:40] != b"acsp":
        del fields["icc"]
        lost.append("colour profile not kept: it is damaged")
    if file_format in _READERS:
        own, missing = _READERS[file_format](path)
        fields.update(own)
        lost += missing
    if quarter and fields.get("density"):
        fields["density"] = fields["density"][::-1]
    is_to_turn = not turned and xmp.orientation(fields.get("xmp", b"")) != 1
    lost += _made_true(fields, width, height, quarter)
    if is_to_turn:
        lost.append(XMP_ALONE)
    return Metadata(**fields), list(dict.fromkeys(lost))


def _made_true(fields: dict[str, Any], width: int, height: int, quarter: bool) -> list[str]:
    """EXIF and XMP changed to what the upright picture is; what of them is lost, in words."""
    lost = []
    if fields.get("exif"):
        try:
            fields["exif"], stale = exif.upright(fields["exif"], width, height, quarter=quarter)
            lost += stale
            fields["density"] = fields.get("density") or exif.density_of(fields["exif"])
        except ValueError as error:
            fields["exif"] = b""
            lost.append(f"EXIF not kept: it is damaged ({error})")
    if fields.get("xmp"):
        try:
            fields["xmp"], gone = xmp.upright(fields["xmp"], width, height, quarter=quarter)
            lost += [f"{words} not kept" for words in gone]
        except ValueError as error:
            fields["xmp"] = b""
            lost.append(f"XMP not kept: {error}")
    return lost


def give_to_libvips(image: pyvips.Image, file_format: Format, metadata: Metadata) -> tuple[pyvips.Image, str]:
    """The image with what libvips writes well of its metadata, and what libvips is to keep of it."""
    if metadata.density:
        across, down = (min(value, _MOST_DENSITY) for value in metadata.density)
        image = image.copy(xres=across, yres=down)
    blobs = {"icc-profile-data": metadata.icc, "xmp-data": b"" if file_format == "png" else metadata.xmp}
    if file_format == "jpeg" and metadata.photoshop:
        blobs["iptc-data"] = photoshop.START + metadata.photoshop
    if file_format in _PLACE_IS_LIBVIPS and metadata.exif:
        blobs["exif-data"] = _EMPTY_EXIF
    for name, blob in blobs.items():
        if blob:
            image.set_type(pyvips.GValue.blob_type, name, blob)
    kept = ["icc", "xmp", "iptc", *(["exif"] if "exif-data" in blobs else [])]
    return image, ":".join(kept)


def write_metadata(path: Path, file_format: Format, metadata: Metadata) -> None:
    """Give a file that libvips wrote the rest of its metadata.

    Raises:
        OSError: the disk refused.
        ValueError: the file is not laid out as libvips does.
    """
    if file_format in _WRITERS:
        _WRITERS[file_format](path, metadata)
