"""HEIF and HEIC, as phones write them, by pi-heif: libheif with an HEVC decoder and no encoder.

The file's own transformations turn the picture. Its EXIF says the same a second time, and is not to be obeyed:
ISO/IEC 23008-12, A.2.1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.carried import read_metadata
from nafnet.images.containers.heif import Parts, parts
from nafnet.images.decoders import libvips
from nafnet.images.decoders.base import ImageReader, WholeReader, library, not_decoded, refuse_large
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.pixels import Rows, widened
from nafnet.words import counted

_SEQUENCES = (b"hevc", b"hevm", b"hevs", b"msf1")
_GAIN_MAP = "hdrgainmap"
_BITS = (8, 10, 12)


def open_file(path: Path, file_format: Format, max_pixels: int) -> ImageReader:
    """Read a file's header; see `nafnet.images.reader.open_image`."""
    found = parts(path)
    if found.brand in _SEQUENCES:
        raise ImageError(f"{path}: an animation; only single images are restored, so split it first")
    if b"av01" in found.kinds and b"hvc1" not in found.kinds:  # AVIF by all but its brands
        return libvips.open_file(path, file_format, max_pixels)
    if not found.named:  # pi-heif dies of it
        raise ImageError(f"{path}: damaged HEIF (a type or a name in it is not text)")
    image, others = _opened(path)
    width, height = image.size
    refuse_large(path, width, height, max_pixels)
    mode, bits = image.mode.partition(";")[0], int(image.info["bit_depth"])
    if mode not in ("L", "I", "RGB", "RGBA") or bits not in _BITS:
        raise ImageError(f"{path}: a HEIF of {image.mode}, {bits} bits; expected grey or RGB of 8, 10 or 12")
    given = {name: image.info.get(key) or b"" for name, key in (("icc", "icc_profile"), ("exif", "exif"))}
    given["xmp"] = _xmp(image.info)
    metadata, lost = read_metadata(path, file_format, given, width, height, quarter=found.quarter)
    header = Header(
        width=width, height=height, format=file_format, channels=1 if mode in "LI" else 3, alpha=mode == "RGBA",
        pixel_type="uint8" if bits == 8 else "uint16", bits=bits, lossless=False, metadata=metadata,
        notes=(*_left_out(image.info, found, others), *lost),
    )  # fmt: skip
    return WholeReader(path, header, lambda: _decoded(path, image, header))


def _opened(path: Path) -> tuple[Any, int]:
    """The primary picture, not decoded yet, and how many pictures stand beside it."""
    pi_heif = library("pi_heif", "HEIC", extra="heic", path=path)
    pi_heif.options.DECODE_THREADS = 1  # as many files are decoded at a time as there are cores
    try:
        file = pi_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        return file[file.primary_index], len(file) - 1
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError) as error:
        raise _damaged(path, error) from error


def _decoded(path: Path, image: Any, header: Header) -> Rows:
    """[H,W,C], of 10 and 12 bits over the full range of 16."""
    try:
        pixels = np.array(image)  # a copy: without one its memory goes with the file, whoever still looks at it
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError) as error:
        raise _damaged(path, error) from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return widened(pixels, header.bits) if header.bits > 8 else pixels


def _damaged(path: Path, error: Exception) -> ImageError:
    return not_decoded(path, "HEIF", " ".join(str(error).split()) or type(error).__name__)


def _xmp(info: dict[str, Any]) -> bytes:
    """The packet; other texts of a file are listed in its place."""
    blocks = [info.get("xmp") or b"", *(block.get("data", b"") for block in info["metadata"])]
    return next((block for block in blocks if b"<x:xmpmeta" in block or b"<rdf:RDF" in block), b"")


def _left_out(info: dict[str, Any], found: Parts, others: int) -> list[str]:
    """What the file has beside the picture, in words; thumbnails are nobody's loss."""
    kinds = [kind for kind, numbers in info.get("aux", {}).items() for _ in numbers]
    maps = [kind for kind in kinds if _GAIN_MAP in kind.lower()]
    said = ["HDR gain map not kept"] if maps or b"tmap" in found.kinds else []
    if info["depth_images"]:
        said.append("depth map not kept")
    if rest := len(kinds) - len(maps):
        said.append(f"{counted(rest, 'auxiliary image')} not kept")
    if others := others - (b"tmap" in found.kinds and others > 0):
        said.append(f"{counted(others, 'other picture')} in it not kept: the one it calls its main one is restored")
    return said
