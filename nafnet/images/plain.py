"""PPM, PGM and BMP: formats without compression, which libvips' wheels do not read."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import ImageError
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import NOTHING, Metadata
from nafnet.images.pixels import WHITE, PixelType

if TYPE_CHECKING:
    from PIL import Image

# Netpbm's header: magic, width, height and largest value, parted by white space and comments, then one white space.
_PPM_HEADER = re.compile(rb"P([56])(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_LARGEST: dict[int, PixelType] = {255: "uint8", 65535: "uint16"}
_INCH = 25.4
"""In millimetres."""
_BMP_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}


def ppm_header(path: Path) -> tuple[Header, int]:
    """What a binary PPM or PGM says of itself, and at which byte its pixels start."""
    with path.open("rb") as file:
        found = _PPM_HEADER.match(file.read(4096))
    if not found:
        raise ImageError(f"{path}: damaged PPM (no width, height and largest value)")
    magic, width, height, largest = (int(group) for group in found.groups())
    if largest not in _LARGEST:
        raise ImageError(f"{path}: its largest value is {largest}; expected 255 or 65535: convert it first")
    header = _header("ppm", width, height, 1 if magic == 5 else 3, pixel_type=_LARGEST[largest])
    if min(width, height) < 1 or path.stat().st_size < found.end() + header.row_bytes * height:
        raise ImageError(f"{path}: damaged PPM (it is shorter than {width}x{height} pixels)")
    return header, found.end()


def ppm_rows(path: Path, header: Header, offset: int, start: int, count: int) -> NDArray[np.generic]:
    """[count,W,C] from row `start` on."""
    stored = np.dtype(header.pixel_type).newbyteorder(">")
    with path.open("rb") as file:
        file.seek(offset + start * header.row_bytes)
        values = np.frombuffer(file.read(count * header.row_bytes), stored)
    return values.reshape(count, header.width, header.channels).astype(header.pixel_type)


def write_ppm(path: Path, header: Header, bands: Iterable[NDArray[np.generic]]) -> None:
    """Write bands of rows, [n,W,C], uint8 or uint16, as PPM or, in grey, PGM."""
    magic = "P5" if header.channels == 1 else "P6"
    stored = np.dtype(header.pixel_type).newbyteorder(">")
    with path.open("wb") as file:
        file.write(f"{magic}\n{header.width} {header.height}\n{WHITE[header.pixel_type]}\n".encode())
        for rows in bands:
            file.write(np.ascontiguousarray(rows, stored).data)


def bmp_header(path: Path, max_pixels: int) -> Header:
    """What a BMP says of itself."""
    with _open_bmp(path) as image:
        mode = _BMP_MODES.get(image.mode)
        if mode is None:
            raise ImageError(f"{path}: a BMP of mode {image.mode}; expected grey, palette or RGB: convert it first")
        if image.width * image.height > max_pixels:
            raise ImageError(f"{path}: {image.width}x{image.height} pixels; at most {max_pixels / 1e6:g} megapixels")
        notes = ("1 bit became 8",) if image.mode == "1" else ()
        channels = 1 if mode == "L" else 3
        across, down = (value / _INCH for value in image.info.get("dpi", (0, 0)))
        metadata = Metadata(density=(across, down)) if across and down else NOTHING
        header = _header("bmp", image.width, image.height, channels, alpha=mode == "RGBA", notes=notes)
        return dataclasses.replace(header, metadata=metadata)


def read_bmp(path: Path) -> NDArray[np.uint8]:
    """uint8[H,W,C], alpha last."""
    with _open_bmp(path) as image:
        try:
            pixels = np.asarray(image.convert(_BMP_MODES[image.mode]))
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageError(f"{path}: damaged BMP ({error})") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def write_bmp(path: Path, pixels: NDArray[np.generic], density: tuple[float, float] | None) -> None:
    """Write uint8[H,W,C], alpha last; `density` in pixels per millimetre."""
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(
        encoded, "bmp", dpi=tuple(_INCH * value for value in density or (0, 0))
    )
    path.write_bytes(encoded.getbuffer())


def _open_bmp(path: Path) -> Image.Image:
    from PIL import Image, UnidentifiedImageError  # loaded for a BMP alone

    try:
        return Image.open(path, formats=["bmp"])
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: a BMP of more pixels than Pillow reads; convert it to TIFF") from error
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ImageError(f"{path}: damaged BMP ({' '.join(str(error).split())})") from error


def _header(
    file_format: Format, width: int, height: int, channels: int, *,
    alpha: bool = False, pixel_type: PixelType = "uint8", notes: tuple[str, ...] = (),
) -> Header:  # fmt: skip
    return Header(
        width=width, height=height, format=file_format, channels=channels, alpha=alpha, pixel_type=pixel_type,
        bits=16 if pixel_type == "uint16" else 8, lossless=True, notes=notes,
    )  # fmt: skip
