"""libvips: every format that it reads well, in bands of rows, so that a file larger than memory can be read.

Only rotated images, and formats that are compressed as a whole, are decoded before the first row. What cannot be kept
whole (pages of several sizes, other colour spaces) is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.carried import MOST_FIELD_BYTES, read_metadata
from nafnet.images.containers.jpeg import hole, is_damage
from nafnet.images.containers.png import read_png
from nafnet.images.containers.tiff import PLAIN, Layout, first_directory, layout, read_pages, refusal
from nafnet.images.containers.webp import is_lossless
from nafnet.images.decoders.base import ImageReader, not_decoded, refuse_large
from nafnet.images.decoders.converted import converted, overlaid
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.metadata import exif
from nafnet.images.pixels import PixelType, Rows
from nafnet.images.timing import ONE_FRAME, Timing
from nafnet.images.vips import pyvips

_LOADERS: dict[Format, str] = {
    **{"png": "pngload", "jpeg": "jpegload", "tiff": "tiffload", "webp": "webpload"},
    **{"avif": "heifload", "gif": "gifload"},
}
_SEVERAL = ("tiff", "webp", "gif")
"""Formats of which all pages or frames are read, one below the other."""
_TAIL = 4096
"""Bytes at a GIF's end in which its end mark is looked for."""
_FIELDS = {"icc": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}
"""Of `Metadata`, as libvips calls them."""
_WARNED_OF = ("jpeg",)
"""Formats whose decoder goes on after damage, with whatever it makes of it."""
_TURNED_BY_EXIF = ("png", "jpeg", "webp", "tiff")
"""Formats in which it, or TIFF's own tag, says how a picture is to be turned."""
_QUARTERS = 5
"""EXIF's orientations from here on turn a picture by a quarter."""
_TYPES: dict[str, PixelType] = {"uchar": "uint8", "ushort": "uint16", "float": "float32"}
_COLOURS = ("srgb", "rgb", "rgb16", "scrgb", "b-w", "grey16")


class _Reader(ImageReader):
    def __init__(self, path: Path, header: Header, image: pyvips.Image) -> None:
        super().__init__(path, header)
        self._image, self._is_lenient = image, False

    def rows(self, count: int) -> Iterator[Rows]:
        header, region = self.header, pyvips.Region.new(self._image)
        for start in range(0, header.rows, count):
            taken = min(count, header.rows - start)
            try:
                band = region.fetch(0, start, header.width, taken)
            except pyvips.Error as error:
                region = self._lenient(error)
                band = self._fetch(region, start, taken)
            yield np.frombuffer(band, header.pixel_type).reshape(taken, header.width, header.bands)
        if header.format == "jpeg" and not self.damage and (zeros := hole(self.path)):
            self.damage = f"{zeros} bytes of zeros stand in its compressed data, where a part of the picture was"

        if header.format == "gif" and not _is_ended(self.path):
            self.damage = "it ends before its end mark, and frames may be missing"

    def _lenient(self, error: pyvips.Error) -> pyvips.Region:
        """Where a decoder that stops at every doubt has stopped, one that goes on where it can."""
        path, file_format = self.path, self.header.format
        if file_format not in _WARNED_OF or self._is_lenient:
            raise _damaged(path, file_format, error) from error
        self._is_lenient = True
        words = _reason(error)
        self.damage = words if is_damage(words) else ""
        image = _load(path, file_format, PLAIN, lenient=True)
        turn = _orientation(path, file_format, image)
        image = _upright(path, file_format, image, PLAIN, turn, lenient=True)
        return pyvips.Region.new(converted(path, image, PLAIN)[0])

    def _fetch(self, region: pyvips.Region, start: int, count: int) -> Any:
        try:
            return region.fetch(0, start, self.header.width, count)
        except pyvips.Error as error:
            raise _damaged(self.path, self.header.format, error) from error


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    laid = PLAIN
    if file_format == "tiff":
        first = first_directory(path)
        if reason := refusal(first):
            raise ImageError(f"{path}: {reason}")
        laid = layout(first)
    image = _load(path, file_format, laid)
    turn = _orientation(path, file_format, image)
    refuse_large(path, image.width, image.height, max_pixels)
    timing = _timing(path, image, turn)
    of_pages: tuple[str, ...] = ()
    if timing.frames > 1 and file_format == "tiff":
        reason, of_pages = read_pages(path)
        if reason:
            raise ImageError(f"{path}: {reason}")
    upright, notes = converted(path, _upright(path, file_format, image, laid, turn), laid)
    _refuse_unsupported(path, upright)
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 0
    if upright.format == "ushort" and 8 < bits < 16:
        upright = _over_the_range(upright, bits)
    if 0 < bits < 8 and not image.get_typeof("palette"):
        notes.append(f"{bits} bit{'s' if bits > 1 else ''} became 8")
    kind, alpha = _TYPES[upright.format], upright.hasalpha()
    # Of several pages libvips gives what the last says.
    speaks = pyvips.Image.tiffload(str(path)) if timing.frames > 1 and file_format == "tiff" else upright
    given = _given(speaks, ("icc",) if file_format == "png" else tuple(_FIELDS))
    height = upright.height // timing.frames
    metadata, lost = read_metadata(
        path, file_format, given, upright.width, height, quarter=turn >= _QUARTERS,
        turned=turn != 1 or file_format not in _TURNED_BY_EXIF,
    )  # fmt: skip
    header = Header(
        width=upright.width,
        height=height,
        format=file_format,
        channels=upright.bands - alpha,
        alpha=bool(alpha),
        pixel_type=kind,
        bits=bits if kind == "uint16" and bits > 8 else 8 * np.dtype(kind).itemsize,
        timing=timing,
        lossless=file_format in ("png", "tiff", "gif") or (file_format == "webp" and is_lossless(path)),
        metadata=metadata,
        notes=(*notes, *lost, *of_pages),
    )
    return _Reader(path, header, upright)


def _given(image: pyvips.Image, names: tuple[str, ...]) -> dict[str, bytes]:
    """What libvips read beside the pixels. Of a PNG it reads no chunk behind them."""
    fields = {name: _FIELDS[name] for name in names}
    return {name: image.get(field) for name, field in fields.items() if image.get_typeof(field)}


def _load(
    path: Path, file_format: Format, laid: Layout, access: str = "sequential", *, lenient: bool = False
) -> pyvips.Image:
    """Open lazily with the loader the first bytes ask for; the lenient one goes on where it can."""
    # Of a truncated TIFF libvips says "error", which is graver than "truncated" and so includes it.
    pyvips.vips_lib.vips_error_clear()  # words of files before, which came through all the same, would stand first
    fail_on = "warning" if file_format in _WARNED_OF and not lenient else "error"
    try:
        if laid.lab:  # libvips reads some of these wrongly, and others not at all
            source = overlaid(path, laid.lab_at, laid.as_rgb)
            return pyvips.Image.new_from_source(source, "", fail_on=fail_on, access=access)
        load = getattr(pyvips.Image, _LOADERS[file_format])
        options = {"fail_on": fail_on, "revalidate": True, "access": access}
        try:
            return load(str(path), **options, **({"n": -1} if file_format in _SEVERAL else {}))
        except pyvips.Error:
            if file_format != "tiff" or _pages(image := load(str(path), **options)) == 1:
                raise
            raise ImageError(
                f"{path}: holds {_pages(image)} pages not alike in size, kind of pixels or turn; split it first"
            ) from None
    except pyvips.Error as error:
        raise _damaged(path, file_format, error) from error


def _orientation(path: Path, file_format: Format, image: pyvips.Image) -> int:
    if file_format == "png":  # libvips sees no EXIF behind the pixels, or in a text
        return exif.orientation(read_png(path, MOST_FIELD_BYTES)[0]["exif"])
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def _is_ended(path: Path) -> bool:
    """Whether a GIF's end mark is there; behind it some programs put zeros."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL, 0))
        return file.read().rstrip(b"\0").endswith(b";")


def _pages(image: pyvips.Image) -> int:
    return int(image.get("n-pages")) if image.get_typeof("n-pages") else 1


def _timing(path: Path, image: pyvips.Image, turn: int) -> Timing:
    """Of the pages or frames that stand one below the other."""
    pages = _pages(image)
    if pages == 1:
        return ONE_FRAME
    if turn != 1:
        raise ImageError(f"{path}: holds {pages} pages or frames that are to be turned; turn it first")
    if not image.get_typeof("page-height") or image.height != pages * image.get("page-height"):
        raise ImageError(f"{path}: holds {pages} pages or frames that cannot be read together; split it first")
    delays = tuple(int(value) for value in image.get("delay")) if image.get_typeof("delay") else ()
    delays = (*delays, *([delays[-1]] * pages))[:pages] if delays else ()
    return Timing(pages, delays, int(image.get("loop")) if image.get_typeof("loop") else 0)


def _upright(
    path: Path, file_format: Format, image: pyvips.Image, laid: Layout, turn: int, *, lenient: bool = False
) -> pyvips.Image:
    """The image turned as EXIF says, which needs its rows out of order."""
    if turn == 1:
        return image
    try:
        as_it_lies = _load(path, file_format, laid, "random", lenient=lenient).copy()
        as_it_lies.set_type(pyvips.GValue.gint_type, "orientation", turn)
        return as_it_lies.autorot()
    except pyvips.Error as error:
        raise _damaged(path, file_format, error) from error


def _refuse_unsupported(path: Path, image: pyvips.Image) -> None:
    if image.format not in _TYPES:
        raise ImageError(f"{path}: pixels are of type {image.format}; expected 8, 16 or 32 bits: convert it first")
    colours = image.bands - (1 if image.hasalpha() else 0)
    if image.interpretation not in _COLOURS or colours not in (1, 3):
        raise ImageError(
            f"{path}: colour space {image.interpretation} with {image.bands} bands; "
            "expected grey, RGB or CMYK: convert it first"
        )


def _over_the_range(image: pyvips.Image, bits: int) -> pyvips.Image:
    """Values of 10 or 12 bits, which libvips shifts to the left, over 16: white becomes 65535, and back what it was."""
    return (
        ((image >> (16 - bits)) * (65535 / (2**bits - 1)))
        .rint()
        .cast("ushort")
        .copy(interpretation=image.interpretation)
    )


def _damaged(path: Path, file_format: Format, error: pyvips.Error) -> ImageError:
    return not_decoded(path, file_format.upper(), _reason(error))


def _reason(error: pyvips.Error) -> str:
    """libvips' own words, the first line of them: it is the cause, the others are where it was noticed."""
    lines = [line for line in str(error.detail or error.message).splitlines() if line.strip()]
    return lines[0].strip() if lines else "no reason given"
