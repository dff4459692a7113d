"""JPEG XL, by OpenImageIO, whose wheels hold libjxl and nothing of the GPL.

libjxl turns the picture as the code stream says; the EXIF of such a file says the same, and is not to be obeyed.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.carried import read_metadata
from nafnet.images.containers.jxl import ALPHA, read_jxl, stream
from nafnet.images.decoders.base import ImageReader, WholeReader, library, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import SRGB_CODES
from nafnet.images.pixels import PixelType, Rows

_TYPES: dict[str, PixelType] = {"uint8": "uint8", "uint16": "uint16", "half": "float32", "float": "float32"}
_UNSPECIFIED = (0, 2)
"""Codes of ITU-T H.273 that say nothing; libjxl gives grey the first."""


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    oiio = library("OpenImageIO", "JPEG XL", extra="jxl", path=path)
    oiio.attribute("threads", 1)  # as many files are decoded at a time as there are cores
    found = stream(path)
    if found.animation:
        raise ImageError(f"{path}: an animation; only single images are restored, so split it first")
    refuse_large(path, *found.size, max_pixels)  # before OpenImageIO, which decodes all to say it
    file = _opened(path, oiio)
    spec = file.spec()
    refuse_large(path, spec.width, spec.height, max_pixels)
    # Of grey with alpha OpenImageIO does not say which is which.
    alpha = spec.alpha_channel == spec.nchannels - 1 or (spec.nchannels == 2 and found.extra == (ALPHA,))
    channels, kind = spec.nchannels - alpha, _TYPES.get(str(spec.format))
    if kind is None or channels not in (1, 3):
        raise ImageError(f"{path}: a JPEG XL of {spec.nchannels} channels of {spec.format}; expected grey or RGB")
    given, lost = read_jxl(path, _unpacker())
    codes = _codes(spec)
    if codes is None or codes != SRGB_CODES:
        given["icc"] = _profile(spec)
    metadata, more = read_metadata(
        path, file_format, given, spec.width, spec.height, quarter=found.quarter, codes=codes
    )
    header = Header(
        width=spec.width, height=spec.height, format=file_format, channels=channels, alpha=alpha, pixel_type=kind,
        bits=8 * np.dtype(kind).itemsize, lossless=found.lossless, metadata=metadata, notes=(*lost, *more),
    )  # fmt: skip
    return WholeReader(path, header, lambda: _decoded(path, oiio, header))


def _opened(path: Path, oiio: Any) -> Any:
    """The file, its alpha not multiplied into its colours."""
    wish = oiio.ImageSpec()
    wish.attribute("oiio:UnassociatedAlpha", 1)
    file = oiio.ImageInput.open(str(path), wish)
    if file is None:
        raise ImageError(f"{path}: damaged JXL ({_words(oiio.geterror())})")
    return file


def _decoded(path: Path, oiio: Any, header: Header) -> Rows:
    """[H,W,C]. The file is opened again, for until then it is in memory as a whole."""
    file = _opened(path, oiio)
    pixels = file.read_image(0, 0, 0, header.bands, header.pixel_type.replace("float32", "float"))
    if pixels is None:
        raise ImageError(f"{path}: damaged JXL ({_words(file.geterror())})")
    rows: Rows = np.asarray(pixels).reshape(header.height, header.width, header.bands)
    return rows


def _words(said: str) -> str:
    return " ".join(said.split()) or "no reason given"


def _codes(spec: Any) -> tuple[int, int] | None:
    """Primaries and transfer, where the file names them; those of grey are sRGB's, which all greys are among."""
    found = spec.getattribute("CICP")
    if found is None:
        return None
    primaries, transfer = int(found[0]), int(found[1])
    if spec.nchannels <= 2 and primaries in _UNSPECIFIED:
        primaries = SRGB_CODES[0]
    return None if primaries in _UNSPECIFIED or transfer in _UNSPECIFIED else (primaries, transfer)


def _profile(spec: Any) -> bytes:
    found = spec.getattribute("ICCProfile")
    return b"" if found is None else np.asarray(found, np.uint8).tobytes()


def _unpacker() -> Any:
    """Brotli's, which gives nothing where it is damaged or gives more bytes; None where it is not installed."""
    try:
        brotli = importlib.import_module("brotli")
    except ImportError:
        return None

    def unpacked(data: bytes, most: int) -> bytes:
        try:
            machine = brotli.Decompressor()
            given: bytes = machine.process(data, output_buffer_limit=most)
            return given if machine.is_finished() else b""
        except brotli.error:
            return b""

    return unpacked
