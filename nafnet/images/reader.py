"""Decode a photograph from top to bottom, in bands of rows, so that one larger than memory can be read.

A file's kind comes from its first bytes and its depth from its header, never from a name or a decoder's mode. What
cannot be kept whole (animations, many pages, other colour spaces) is refused by name. libvips decodes all but the
plain formats; only rotated images, and formats that are compressed as a whole, are decoded before the first row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from nafnet.errors import ImageError
from nafnet.images.formats import MAX_PIXELS, Format, Header, sniff
from nafnet.images.pixels import PixelType, Rows
from nafnet.images.plain import bmp_header, ppm_header, ppm_rows, read_bmp
from nafnet.images.tiff import refusal

_LOADERS: dict[Format, str] = {
    **{"png": "pngload", "jpeg": "jpegload", "tiff": "tiffload", "webp": "webpload"},
    **{"avif": "heifload", "heif": "heifload"},
}
_TYPES: dict[str, PixelType] = {"uchar": "uint8", "ushort": "uint16", "float": "float32"}
_ALWAYS_UTF8 = ("icc-profile-data", "exif-data", "xmp-data", "iptc-data", "resolution-unit", "xres", "yres")
"""Names of fields that libvips gives; those of texts come from the file."""
MOST_FIELD_BYTES = 16 * 2**20
"""Of one text, profile or preview: compressed, a small file can hold thousands of megabytes."""
_COLOURS = ("srgb", "rgb", "rgb16", "scrgb", "b-w", "grey16")
# Set by libvips for every image, or no longer true of the restored one.
_NOT_METADATA = {
    *("width", "height", "bands", "format", "coding", "interpretation", "xoffset", "yoffset"),
    *("filename", "vips-loader", "vips-sequential", "bits-per-sample", "palette", "background", "interlaced"),
    *("orientation", "exif-ifd0-Orientation", "n-pages", "page-height"),
    *("jpeg-multiscan", "jpeg-chroma-subsample", "jpeg-thumbnail-data"),
    *("heif-primary", "heif-compression"),
}


class ImageReader:
    """Reads one file; see `open_image`."""

    def __init__(self, path: Path, header: Header, source: pyvips.Image | Rows | int) -> None:
        self.path, self.header, self._source = path, header, source

    def rows(self, count: int) -> Iterator[Rows]:
        """All rows from the top, `count` at a time; the last have fewer.

        Raises:
            ImageError: the file is damaged; a truncated file is never half read.
        """
        header = self.header
        region = pyvips.Region.new(self._source) if isinstance(self._source, pyvips.Image) else None
        for start in range(0, header.height, count):
            taken = min(count, header.height - start)
            if region is not None:
                try:
                    band = region.fetch(0, start, header.width, taken)
                except pyvips.Error as error:
                    raise _damaged(self.path, header.format, error) from error
                yield np.frombuffer(band, header.pixel_type).reshape(taken, header.width, header.bands)
            elif isinstance(self._source, int):
                yield ppm_rows(self.path, header, self._source, start, taken)
            else:
                yield self._source[start : start + taken]


def open_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> ImageReader:
    """Read a file's header.

    Raises:
        ImageError: not an image this project reads, damaged, or of more than `max_pixels`; the message says what it is.
    """
    file_format = _sniffed(path)
    if file_format == "ppm":
        header, offset = ppm_header(path)
        return ImageReader(path, _small_enough(path, header, max_pixels), offset)
    if file_format == "bmp":
        header = bmp_header(path, max_pixels)
        return ImageReader(path, header, read_bmp(path))
    if file_format == "tiff" and (reason := refusal(path)):
        raise ImageError(f"{path}: {reason}")
    image = _load(path, file_format)
    upright = _upright(path, file_format, image)
    _refuse_unsupported(path, upright)
    notes = []
    if upright.interpretation == "cmyk":
        upright = _from_cmyk(path, upright)
        notes.append("CMYK became sRGB, by its profile")
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 0
    if 0 < bits < 8 and not image.get_typeof("palette"):
        notes.append(f"{bits} bit{'s' if bits > 1 else ''} became 8")
    if file_format == "png" and _is_animated_png(path):
        raise ImageError(f"{path}: an animation; only single images are restored, so split it first")
    kind, alpha = _TYPES[upright.format], upright.hasalpha()
    metadata, lost = _metadata(upright)
    header = Header(
        width=upright.width,
        height=upright.height,
        format=file_format,
        channels=upright.bands - alpha,
        alpha=bool(alpha),
        pixel_type=kind,
        bits=bits if kind == "uint16" and bits > 8 else 8 * np.dtype(kind).itemsize,
        lossless=file_format in ("png", "tiff") or (file_format == "webp" and _is_lossless_webp(path)),
        metadata=metadata,
        notes=(*notes, *lost),
    )
    return ImageReader(path, _small_enough(path, header, max_pixels), upright)


def _metadata(image: pyvips.Image) -> tuple[dict[str, tuple[str, Any]], list[str]]:
    """The fields worth keeping, and what of them cannot be kept, in words."""
    fields: dict[str, tuple[str, Any]] = {}
    lost = []
    try:
        names = image.get_fields()
    except UnicodeDecodeError:  # of one of them
        names = [name for name in _ALWAYS_UTF8 if image.get_typeof(name)]
        lost.append("texts are not kept: the name of one is not UTF-8")
    for name in names:
        if name in _NOT_METADATA:
            continue
        try:
            value = image.get(name)
        except UnicodeDecodeError:
            lost.append(f"a text that is not UTF-8 is not kept: {name}")
            continue
        if isinstance(value, bytes | str) and len(value) > MOST_FIELD_BYTES:
            lost.append(
                f"{name} of {len(value) / 2**20:.0f} MB is not kept; at most {MOST_FIELD_BYTES / 2**20:.0f} MB are"
            )
        else:
            fields[name] = (pyvips.type_name(image.get_typeof(name)), value)
    return fields, lost


def _sniffed(path: Path) -> Format:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ImageError(f"{str(path)!a}: its name is not UTF-8; rename it") from error
    try:
        if path.exists() and not path.is_file():
            raise ImageError(f"{path}: not a regular file")  # opening a pipe would wait for a writer
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
    file_format = sniff(start)
    if file_format is None:
        what = f"starts with {start[:8]!r}" if start else "the file is empty"
        raise ImageError(f"{path}: not a PNG, JPEG, TIFF, WebP, AVIF, HEIF, BMP or PPM image ({what})")
    return file_format


def _load(path: Path, file_format: Format, access: str = "sequential") -> pyvips.Image:
    """Open lazily with the loader the first bytes ask for."""
    try:
        # Of a truncated TIFF libvips says "error", which is graver than "truncated" and so includes it.
        load = getattr(pyvips.Image, _LOADERS[file_format])
        return load(str(path), fail_on="error", revalidate=True, access=access)
    except pyvips.Error as error:
        if file_format == "heif":
            raise ImageError(f"{path}: HEIF that this libvips cannot decode ({_reason(error)}): convert it") from error
        raise _damaged(path, file_format, error) from error


def _upright(path: Path, file_format: Format, image: pyvips.Image) -> pyvips.Image:
    """The image turned as EXIF says, which needs its rows out of order."""
    if not image.get_typeof("orientation") or image.get("orientation") == 1:
        return image
    try:
        return _load(path, file_format, "random").autorot()
    except pyvips.Error as error:
        raise _damaged(path, file_format, error) from error


def _small_enough(path: Path, header: Header, max_pixels: int) -> Header:
    if header.width * header.height > max_pixels:
        raise ImageError(f"{path}: {header.width}x{header.height} pixels; at most {max_pixels / 1e6:g} megapixels")
    return header


def _refuse_unsupported(path: Path, image: pyvips.Image) -> None:
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        raise ImageError(f"{path}: holds {pages} pages or frames; only single images are restored, so split it first")
    if image.format not in _TYPES:
        raise ImageError(f"{path}: pixels are of type {image.format}; expected 8, 16 or 32 bits: convert it first")
    colours = image.bands - (1 if image.hasalpha() else 0)
    profiled_cmyk = image.interpretation == "cmyk" and image.bands == 4 and image.get_typeof("icc-profile-data")
    if not profiled_cmyk and (image.interpretation not in _COLOURS or colours not in (1, 3)):
        raise ImageError(
            f"{path}: colour space {image.interpretation} with {image.bands} bands; "
            "expected grey, RGB, or CMYK with a profile: convert it first"
        )


def _from_cmyk(path: Path, image: pyvips.Image) -> pyvips.Image:
    try:
        return image.icc_transform(
            "srgb", embedded=True, intent="relative", depth=16 if image.format == "ushort" else 8
        )
    except pyvips.Error as error:
        raise ImageError(f"{path}: CMYK that its profile does not convert ({_reason(error)})") from error


def _is_animated_png(path: Path) -> bool:
    """Whether an acTL chunk stands before the pixels; PNG is a signature and chunks of size, name, content, CRC."""

    def parse(head: bytes) -> tuple[bytes, int]:
        size, name = struct.unpack(">I4s", head)
        return name, size + 4

    return _first_chunk(path, 8, parse, (b"acTL", b"IDAT")) == b"acTL"


def _is_lossless_webp(path: Path) -> bool:
    """Whether the picture is a VP8L chunk. A WebP file is RIFF: chunks of a name, a size and padded content."""

    def parse(head: bytes) -> tuple[bytes, int]:
        name, size = struct.unpack("<4sI", head)
        return name, size + size % 2

    return _first_chunk(path, 12, parse, (b"VP8 ", b"VP8L")) == b"VP8L"


def _first_chunk(
    path: Path, start: int, parse: Callable[[bytes], tuple[bytes, int]], names: tuple[bytes, ...]
) -> bytes | None:
    """The first of the named chunks; `parse` gives a chunk's name and rest from the 8 bytes that it begins with."""
    with path.open("rb") as file:
        file.seek(start)
        while len(head := file.read(8)) == 8:
            name, rest = parse(head)
            if name in names:
                return name
            file.seek(rest, 1)
    return None


def _damaged(path: Path, file_format: Format, error: pyvips.Error) -> ImageError:
    return ImageError(f"{path}: damaged {file_format.upper()} ({_reason(error)})")


def _reason(error: pyvips.Error) -> str:
    """libvips' own words, the first line of them: it is the cause, the others are where it was noticed."""
    lines = [line for line in str(error.detail or error.message).splitlines() if line.strip()]
    return lines[0].strip() if lines else "no reason given"
