"""Pillow: animations of PNG and AVIF, of which libvips reads the first picture alone. Frames come as they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.carried import read_metadata
from nafnet.images.decoders.base import ImageReader, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.pixels import Rows
from nafnet.images.timing import Timing

if TYPE_CHECKING:
    from PIL import Image

_FORMATS: dict[Format, str] = {"png": "png", "avif": "avif"}
"""As Pillow calls them."""
_ORIENTATION = 0x0112
"""EXIF's tag."""
_BITS_AT = 24
"""Of a PNG."""
_CONFIGURATION = b"av1C"
_HIGH_DEPTH = 0x40
"""In the third byte of an AVIF's configuration."""
_START = 1 << 16
"""Bytes in which it stands."""
_ERRORS = (OSError, ValueError, SyntaxError, EOFError, OverflowError, RuntimeError)
"""What Pillow raises of damaged files."""


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read an animation's header; see `nafnet.images.reader.open_image`."""
    _refuse_deep(path, file_format)
    image = _open(path, file_format)
    info, still = image.info, int(bool(image.info.get("default_image")))
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
        count = int(image.n_frames) - still  # type: ignore[attr-defined]
        delays = tuple(_delay(image, index) for index in range(still, count + still))
    except _ERRORS as error:
        raise _damaged(path, file_format, error) from error
    if count < 1 + (not still):
        raise ImageError(f"{path}: damaged {file_format.upper()} (the frames of its animation cannot be found)")
    if turn != 1:
        raise ImageError(f"{path}: an animation that is to be turned; turn it first")
    refuse_large(path, image.width, image.height * count, max_pixels)
    mode = _mode(image)
    alpha = mode in ("LA", "RGBA")
    names = {"icc": "icc_profile", **({} if file_format == "png" else {"exif": "exif", "xmp": "xmp"})}
    given = {name: bytes(info[key]) for name, key in names.items() if info.get(key)}
    metadata, lost = read_metadata(path, file_format, given, image.width, image.height)
    notes = ["the still picture beside the animation not kept"] if still else []
    header = Header(
        width=image.width, height=image.height, format=file_format, channels=len(mode) - alpha, alpha=alpha,
        pixel_type="uint8", bits=8, lossless=file_format == "png", metadata=metadata,
        timing=Timing(count, delays, int(info.get("loop", 0))), notes=(*notes, *lost),
    )  # fmt: skip
    return _Reader(path, header, mode, still)


class _Reader(ImageReader):
    def __init__(self, path: Path, header: Header, mode: str, first: int) -> None:
        super().__init__(path, header)
        self._mode, self._first = mode, first

    def rows(self, count: int) -> Iterator[Rows]:
        path, header = self.path, self.header
        image = _open(path, header.format)
        for index in range(header.timing.frames):
            try:
                image.seek(self._first + index)
                frame = np.asarray(image.convert(self._mode)).reshape(header.height, header.width, header.bands)
            except _ERRORS as error:
                raise _damaged(path, header.format, error) from error
            for start in range(0, header.height, count):
                yield frame[start : start + count]


def _refuse_deep(path: Path, file_format: Format) -> None:
    """Raise ImageError for more than 8 bits, which Pillow would halve in silence."""
    with path.open("rb") as file:
        start = file.read(_START)
    at = start.find(_CONFIGURATION) + len(_CONFIGURATION) + 2
    deep = start[_BITS_AT : _BITS_AT + 1] == b"\x10" if file_format == "png" else start[at : at + 1] > b""
    if file_format == "avif" and deep:
        deep = bool(start[at] & _HIGH_DEPTH)
    if deep:
        raise ImageError(f"{path}: an animation of more than 8 bits; only 8 are read, so split it first")


def _open(path: Path, file_format: Format) -> Image.Image:
    from PIL import Image  # loaded for an animation alone

    try:
        return Image.open(path, formats=[_FORMATS[file_format]])
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: an animation of more pixels than Pillow reads; split it first") from error
    except _ERRORS as error:
        raise _damaged(path, file_format, error) from error


def _mode(image: Image.Image) -> str:
    """The kind of pixel that holds every frame."""
    if image.mode in ("L", "RGB", "RGBA", "LA") and "transparency" not in image.info:
        return image.mode
    return "RGBA" if image.mode != "L" else "LA"


def _delay(image: Image.Image, index: int) -> int:
    image.seek(index)
    if image.format == "AVIF":
        image.load()  # before it the time is not known
    duration: Any = image.info.get("duration", 0)
    return round(float(duration))


def _damaged(path: Path, file_format: Format, error: Exception) -> ImageError:
    return ImageError(f"{path}: damaged {file_format.upper()} ({' '.join(str(error).split()) or type(error).__name__})")
