"""PPM and PGM written, and BMP: formats without compression, which libvips' wheels do not know."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import ImageError
from nafnet.images.decoders.base import not_decoded
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import NOTHING, Metadata
from nafnet.images.pixels import WHITE

if TYPE_CHECKING:
    from PIL import Image

_INCH = 25.4
"""In millimetres."""
_BMP_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGBA"}


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
        header = _header(image.width, image.height, channels, alpha=mode == "RGBA", notes=notes)
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
        raise not_decoded(path, "BMP", " ".join(str(error).split())) from error


def _header(
    width: int, height: int, channels: int, *, alpha: bool, notes: tuple[str, ...]
) -> Header:  # fmt: skip
    return Header(
        width=width, height=height, format="bmp", channels=channels, alpha=alpha, pixel_type="uint8", bits=8,
        lossless=True, notes=notes,
    )  # fmt: skip
