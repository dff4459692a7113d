"""Cameras' raw files, developed by LibRaw (rawpy) into 16 bits of sRGB, the same way whatever is in the picture.

White balance is the camera's; where the file has none it is daylight's, and a note says so: LibRaw by itself would make
one of the picture. Nothing is brightened or stretched, highlights are clipped at the sensor's white, and the tone curve
is sRGB's, which is what the network was trained on. LibRaw turns the picture as the camera says.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.carried import read_metadata
from nafnet.images.containers.camera import camera_metadata
from nafnet.images.containers.tiff import mosaic
from nafnet.images.decoders.base import ImageReader, WholeReader, library, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.pixels import Rows

DEVELOPED: dict[str, Any] = {
    "output_bps": 16,
    "gamma": (2.4, 12.92),  # sRGB's curve
    "no_auto_bright": True,
    "adjust_maximum_thr": 0.0,  # the largest value of the picture is not taken for white
}
"""LibRaw's parameters beside the white balance; the others are its defaults: AHD, clipped highlights, sRGB."""
_QUARTERS = (5, 6)
"""LibRaw's flips by a quarter."""
_NONE = 1e-5
"""LibRaw's bound below which a white balance is none."""


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    rawpy = library("rawpy", "a raw file", extra="raw", path=path)
    raw = rawpy.RawPy()
    try:
        raw.open_file(str(path))
        sizes = raw.sizes
        width, height = _developed_size(sizes)
        refuse_large(path, width, height, max_pixels)
        raw.unpack()  # before it LibRaw does not say the white balance; developing takes ten times as long
        balance, colours = raw.camera_whitebalance, raw.num_colors
    except rawpy.LibRawError as error:
        raise _refused(path, error) from error
    expected = mosaic(path)
    if expected and 2 * sizes.raw_width * sizes.raw_height < expected[0] * expected[1]:
        raise ImageError(f"{path}: a raw file, of which LibRaw reads a preview alone; develop it first")
    has_balance = all(value > _NONE for value in balance[:3])
    block, xmp, missing = camera_metadata(path)
    quarter = sizes.flip in _QUARTERS
    metadata, lost = read_metadata(path, file_format, {"exif": block, "xmp": xmp}, width, height, quarter=quarter)
    notes = [] if has_balance else ["it has no white balance of the camera's: daylight's is used"]
    notes += missing if block else ["EXIF not kept: it was not found in the raw file"]
    header = Header(
        width=width, height=height, format=file_format, channels=1 if colours == 1 else 3, alpha=False,
        pixel_type="uint16", bits=16, lossless=True, metadata=metadata, notes=(*notes, *lost),
    )  # fmt: skip
    return WholeReader(path, header, lambda: _developed(path, rawpy, raw, has_balance))


def _developed_size(sizes: Any) -> tuple[int, int]:
    """Width and height of the upright picture; pixels that are not square are stretched."""
    width, height, aspect = sizes.width, sizes.height, sizes.pixel_aspect
    if aspect < 0.995:
        height = int(height / aspect + 0.5)
    elif aspect > 1.005:
        width = int(width * aspect + 0.5)
    return (height, width) if sizes.flip in _QUARTERS else (width, height)


def _developed(path: Path, rawpy: Any, raw: Any, has_balance: bool) -> Rows:
    """uint16[H,W,C]."""
    try:
        with contextlib.closing(raw):
            pixels: Rows = np.array(raw.postprocess(use_camera_wb=has_balance, **DEVELOPED))
            return pixels
    except rawpy.LibRawError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> ImageError:
    words = error.args[0] if error.args else ""
    reason = words.decode(errors="replace") if isinstance(words, bytes) else str(words or type(error).__name__)
    return ImageError(f"{path}: a raw file that LibRaw cannot develop, or a damaged one ({' '.join(reason.split())})")
