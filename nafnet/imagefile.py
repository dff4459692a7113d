"""One decoder and one encoder for the whole project: pixels in the file's own depth, alpha, ICC, EXIF.

PNG, JPEG, TIFF and WebP, 8 and 16 bit, grey and RGB, with or without alpha, through libvips. A file's kind comes
from its first bytes and its depth from its header, never from a name or a decoder's mode. What cannot be kept
whole (CMYK, animations, many pages, floating point) is refused by name.

Shapes: H height, W width, C colour channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyvips
from numpy.typing import NDArray

from nafnet.errors import ImageError
from nafnet.files import whole_file

Format = Literal["png", "jpeg", "tiff", "webp"]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

SUFFIXES: dict[str, Format] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
JPEG_QUALITY = 95
# A file of a few hundred kilobytes can claim more pixels than a machine has memory for.
MAX_PIXELS = 1_000_000_000

_MAGIC: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)
_RESOLUTION = ("xres", "yres")
# Set by libvips for every image, or no longer true of the restored one.
_NOT_METADATA = {
    *("width", "height", "bands", "format", "coding", "interpretation", "xoffset", "yoffset"),
    *("filename", "vips-loader", "vips-sequential", "bits-per-sample", "palette", "background", "interlaced"),
    *("orientation", "exif-ifd0-Orientation", "n-pages", "page-height"),
    *("jpeg-multiscan", "jpeg-chroma-subsample", "jpeg-thumbnail-data"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ImageFile:
    """A decoded photograph, upright: the EXIF orientation has been applied to the pixels and dropped."""

    pixels: Pixels
    """[H,W,C], uint8 or uint16 over its full range, RGB or grey, in the file's own colour space."""
    alpha: Pixels | None
    """[H,W] of the same depth, or None."""
    format: Format
    lossless: bool
    """Whether the file's compression kept every pixel; decides how WebP is written."""
    metadata: Mapping[str, tuple[int, Any]]
    """libvips' fields worth keeping, ICC profile, EXIF and XMP among them: name to (type, value)."""

    def replace_pixels(self, pixels: Pixels) -> ImageFile:
        """The same file with other pixels of the same shape and depth."""
        assert (pixels.shape, pixels.dtype) == (self.pixels.shape, self.pixels.dtype)
        return dataclasses.replace(self, pixels=pixels)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says before it is decoded."""

    width: int
    """Of the upright image, in pixels."""
    height: int
    format: Format


def read_header(path: Path) -> Header:
    """Read size and format, refusing what `read_image` would refuse.

    Raises:
        ImageError: not an image this project reads; the message says what it is.
    """
    image, file_format = _open(path)
    turned = image.get_typeof("orientation") != 0 and image.get("orientation") >= 5
    height, width = (image.width, image.height) if turned else (image.height, image.width)
    return Header(width=width, height=height, format=file_format)


def read_image(path: Path) -> ImageFile:
    """Decode a file whole.

    Raises:
        ImageError: not an image this project reads, or damaged; a truncated file is never half read.
    """
    image, file_format = _open(path)
    try:
        image = image.autorot()
        array = image.numpy()
    except pyvips.Error as error:
        raise ImageError(f"{path}: damaged {file_format.upper()} ({_reason(error)})") from error
    array = array.reshape(image.height, image.width, image.bands)
    alpha = None
    if image.hasalpha():
        array, alpha = array[:, :, :-1], np.ascontiguousarray(array[:, :, -1])
    kept = (name for name in image.get_fields() if name not in _NOT_METADATA)
    return ImageFile(
        pixels=np.ascontiguousarray(array),
        alpha=alpha,
        format=file_format,
        lossless=file_format in ("png", "tiff") or (file_format == "webp" and _is_lossless_webp(path)),
        metadata={name: (image.get_typeof(name), image.get(name)) for name in kept},
    )


def write_image(path: Path, image: ImageFile) -> None:
    """Encode to `path` in the image's own format and depth, whole or not at all.

    JPEG: quality 95 without chroma subsampling. TIFF: deflate. WebP: lossless if the source was, else quality 95.

    Raises:
        ImageError: the format cannot hold the image, or the disk refused.
    """
    array = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    depth16 = array.dtype == np.uint16
    if depth16 and image.format in ("jpeg", "webp"):
        raise ImageError(f"{path}: {image.format} cannot hold 16 bits; expected 8-bit pixels")
    colour = ("grey16" if depth16 else "b-w") if image.pixels.shape[2] == 1 else ("rgb16" if depth16 else "srgb")
    encoded = pyvips.Image.new_from_array(np.ascontiguousarray(array), interpretation=colour)
    # The resolution is in the header, which `set_type` does not reach.
    encoded = encoded.copy(**{name: image.metadata[name][1] for name in _RESOLUTION if name in image.metadata})
    for name, (kind, value) in image.metadata.items():
        if name not in _RESOLUTION:
            encoded.set_type(kind, name, value)
    if "exif-data" in image.metadata:
        encoded.set_type(pyvips.GValue.gint_type, "orientation", 1)  # else the old one is read from the raw block
    try:
        with whole_file(path) as temporary:
            if image.format == "png":
                encoded.pngsave(str(temporary), compression=6)
            elif image.format == "jpeg":
                encoded.jpegsave(str(temporary), Q=JPEG_QUALITY, subsample_mode="off")
            elif image.format == "tiff":
                encoded.tiffsave(
                    str(temporary), compression="deflate", predictor="horizontal", bigtiff=array.nbytes > 2**31
                )
            else:
                encoded.webpsave(str(temporary), Q=JPEG_QUALITY, lossless=image.lossless, exact=True)
    except pyvips.Error as error:
        raise ImageError(f"{path}: cannot be written ({_reason(error)})") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({error.strerror or error})") from error


def _open(path: Path) -> tuple[pyvips.Image, Format]:
    """Open lazily with the loader the first bytes ask for, and refuse what cannot be kept whole."""
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
    file_format = _sniff(start)
    if file_format is None:
        what = f"starts with {start[:8]!r}" if start else "the file is empty"
        raise ImageError(f"{path}: not a PNG, JPEG, TIFF or WebP image ({what})")
    load = getattr(pyvips.Image, f"{file_format}load")
    try:
        # Of a truncated TIFF libvips says "error", which is graver than "truncated" and so includes it.
        image = load(str(path), fail_on="error", revalidate=True)
    except pyvips.Error as error:
        raise ImageError(f"{path}: damaged {file_format.upper()} ({_reason(error)})") from error
    _refuse_unsupported(path, image)
    if file_format == "png" and _is_animated_png(path):
        raise ImageError(f"{path}: an animation; only single images are restored, so split it first")
    return image, file_format


def _sniff(start: bytes) -> Format | None:
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def _refuse_unsupported(path: Path, image: pyvips.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{path}: {image.width}x{image.height} pixels; at most {MAX_PIXELS / 1e6:.0f} megapixels")
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        raise ImageError(f"{path}: holds {pages} pages or frames; only single images are restored, so split it first")
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{path}: pixels are of type {image.format}; expected 8 or 16 bits: convert it first")
    colours = image.bands - (1 if image.hasalpha() else 0)
    if image.interpretation not in ("srgb", "rgb", "rgb16", "b-w", "grey16") or colours not in (1, 3):
        raise ImageError(
            f"{path}: colour space {image.interpretation} with {image.bands} bands; "
            "expected grey or RGB: convert it first"
        )


def _is_animated_png(path: Path) -> bool:
    """Whether an acTL chunk stands before the pixels; PNG is a signature and chunks of size, name, content, CRC."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name in (b"acTL", b"IDAT"):
                return bool(name == b"acTL")
            file.seek(size + 4, 1)
    return False


def _is_lossless_webp(path: Path) -> bool:
    """Whether the picture is a VP8L chunk. A WebP file is RIFF: chunks of a name, a size and padded content."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name in (b"VP8 ", b"VP8L"):
                return bool(name == b"VP8L")
            file.seek(size + size % 2, 1)
    return False


def _reason(error: pyvips.Error) -> str:
    """libvips' own words, the first line of them: it is the cause, the others are where it was noticed."""
    lines = [line for line in str(error.detail or error.message).splitlines() if line.strip()]
    return lines[0].strip() if lines else "no reason given"
