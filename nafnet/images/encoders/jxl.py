"""JPEG XL, by OpenImageIO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nafnet.images.containers.jxl import write_jxl
from nafnet.images.decoders.base import library
from nafnet.images.header import Header
from nafnet.images.pixels import Rows

_LOSSLESS = 100
_USUAL_TRANSFER = {"uint8": 13, "uint16": 13, "float32": 8}
"""By ITU-T H.273: sRGB's, and none."""


def require(path: Path) -> None:
    """Raise ImageError where the library is missing.

    Args:
        path: of the file to write.
    """
    library("OpenImageIO", "JPEG XL", extra="jxl", path=path)


def save(path: Path, header: Header, pixels: Rows, quality: int) -> None:
    """Write [H,W,C], alpha last.

    Args:
        path: of the file.
        header: of what is written; if it is lossless, so is the file.
        pixels: in the header's type.
        quality: 1 to 100, as libjxl takes it for a distance.

    Raises:
        OSError: the library, or the disk, refused.
    """
    oiio = library("OpenImageIO", "JPEG XL", extra="jxl", path=path)
    if header.channels == 1 and _needs_colour(header):
        pixels = np.concatenate([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]], axis=2)
    bands = pixels.shape[2]
    spec = oiio.ImageSpec(header.width, header.height, bands, header.pixel_type.replace("float32", "float"))
    _describe(oiio, spec, header, _LOSSLESS if header.lossless else min(quality, _LOSSLESS - 1))
    file = oiio.ImageOutput.create("jxl")
    if not (file.open(str(path), spec) and file.write_image(np.ascontiguousarray(pixels)) and file.close()):
        raise OSError(" ".join(file.geterror().split()))
    write_jxl(path, header.metadata)


def _needs_colour(header: Header) -> bool:
    """Whether a picture of grey is written in three equal colours.

    Of grey with alpha OpenImageIO 3.2 writes files that nobody reads, and of grey it writes no transfer function but
    the usual one of its type.
    """
    metadata = header.metadata
    unusual = metadata.codes is not None and metadata.codes[1] != _USUAL_TRANSFER[header.pixel_type]
    return header.alpha or (unusual and not metadata.icc)


def _describe(oiio: Any, spec: Any, header: Header, quality: int) -> None:
    metadata = header.metadata
    spec.attribute("Compression", f"jpegxl:{quality}")
    spec.attribute("jpegxl:use_boxes", 0)  # it would write an EXIF of its own
    if header.alpha:
        spec.alpha_channel = spec.nchannels - 1
        spec.attribute("oiio:UnassociatedAlpha", 1)
    if metadata.icc:
        kind = oiio.TypeDesc(f"uint8[{len(metadata.icc)}]")
        spec.attribute("ICCProfile", kind, np.frombuffer(metadata.icc, np.uint8))
    elif metadata.codes and spec.nchannels > 2:
        spec.attribute("CICP", oiio.TypeDesc("int[4]"), (*metadata.codes, 0, 1))
