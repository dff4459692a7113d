"""Kinds of TIFF for the matrix of formats, written by tifffile."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageOps

from nafnet.images.decoders.converted import BUILT_IN
from tests.nafnet.images import test_refused
from tests.nafnet.images.decoders import test_converted as converted
from tests.runtime.folder.kinds import LOSSY, Kind, Pixels, smooth, values


def written(
    name: str, pixels: Pixels, expected: Pixels | None = None, *notes: str, most: float = 0, **options: Any
) -> Kind:
    """A TIFF by tifffile; what is expected is the same pixels where nothing else is."""
    colour = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack", **options}
    return Kind(
        name=f"tiff-{name}.tif", write=lambda path: tifffile.imwrite(path, pixels, **colour), notes=notes, most=most,
        expected=pixels if expected is None else expected,
    )  # fmt: skip


def tiff() -> Iterator[Kind]:
    for bands, kind in itertools.product((1, 3), (np.uint8, np.uint16, np.float32)):
        pixels, name = values(bands, kind), f"{np.dtype(kind).name}-{bands}"
        yield written(f"tiled-{name}", pixels, tile=(16, 16))
        yield written(f"big-{name}", pixels, bigtiff=True, byteorder=">")
        if bands == 3:
            separate = {"planarconfig": "separate", "photometric": "rgb"}
            yield written(f"planar-{name}", pixels.transpose(2, 0, 1), pixels, rowsperstrip=8, **separate)
        elif kind != np.float32:
            yield written(f"white-is-0-{name}", np.iinfo(kind).max - pixels, pixels, photometric="miniswhite")
        if kind == np.float32:
            half, note = pixels.astype(np.float16), "floats of 16 bits became floats of 32"
            yield written(f"half-{bands}", half, half.astype(np.float32), note)
        if kind == np.uint16:
            wide = values(bands, np.uint32)
            narrow = np.rint(wide / (2**32 - 1) * 65535).astype(np.uint16)
            yield written(f"uint32-{bands}", wide, narrow, "32 bits became 16")
    for scheme in ("lzw", "packbits", "webp"):
        options = {"compressionargs": {"lossless": True}} if scheme == "webp" else {}
        yield written(scheme, values(3, np.uint8), compression=scheme, **options)
    yield written("ycbcr-jpeg", smooth(), compression="jpeg", most=LOSSY)
    for bits in (2, 4):
        few = values(1, np.uint8) >> (8 - bits)
        full = (few * (255 // (2**bits - 1))).astype(np.uint8)
        yield written(f"{bits}-bits", few, full, f"{bits} bits became 8", bitspersample=bits)
    for orientation in range(2, 9):
        image = Image.fromarray(values(3, np.uint8))
        image.getexif()[0x0112] = orientation
        upright, tag = np.asarray(ImageOps.exif_transpose(image)), (274, 3, 1, orientation, True)
        yield written(f"turned-{orientation}", values(3, np.uint8), upright, extratags=[tag])


def tiff_colours() -> Iterator[Kind]:
    lab = converted.some_lab()
    for kind in ("cielab8", "cielab16", "icclab8", "icclab16"):
        pixels, options = converted.stored(lab, kind)
        wide = pixels.dtype == np.uint16
        expected = np.rint(converted.srgb_of_lab(lab) * (257 if wide else 1)).astype(pixels.dtype)
        options = {"photometric": "cielab", **options}
        yield written(kind, pixels, expected, converted.LAB_NOTE, most=60 if wide else 1.5, **options)
    inks = converted.INKS
    srgb = converted.by_littlecms(inks)
    yield written("cmyk8", inks, srgb.astype(np.uint8), BUILT_IN, photometric="separated", most=1)
    wide = (srgb * 257).astype(np.uint16)
    yield written("cmyk16", inks * np.uint16(257), wide, BUILT_IN, photometric="separated", most=257)
    table = np.random.default_rng(0).integers(0, 256, (3, 256), np.uint16)
    places = values(1, np.uint8)
    coloured = table.astype(np.uint8).T[places]
    yield written("palette", places, coloured, photometric="palette", colormap=table * 257)
    four, five = values(4, np.uint8), values(5, np.uint8)
    yield written("alpha-unspecified", four, extrasamples=["unspecified"])
    one = "1 further channel not kept"
    yield written("alpha-and-one", five, five[..., :4], one, extrasamples=["unassalpha", "unspecified"])
    yield written("one-and-alpha", five, five[..., [0, 1, 2, 4]], one, extrasamples=["unspecified", "unassalpha"])
    two = "2 further channels not kept"
    yield written("two-further", five, five[..., :3], two, extrasamples=["unspecified"] * 2)
    for kind in (np.uint8, np.uint16):
        white = np.iinfo(kind).max
        alpha, straight = values(1, kind)[..., None] // 2 + white // 2, values(3, kind, 1)
        shaded = np.rint(straight * (alpha / white)).astype(kind)
        expected = np.concatenate([straight, alpha], -1)
        pixels = np.concatenate([shaded, alpha], -1)
        yield written(f"premultiplied-{white}", pixels, expected, extrasamples=["assocalpha"], most=1)


def refused() -> Iterator[Kind]:
    """Those that fail by a name of their own."""
    for name, kind, reason, options in (
        ("int16", np.int16, "signed whole numbers", {}),
        ("float64", np.float64, "floats of 64 bits", {}),
        ("12-bits", np.uint16, "12 bits a value, packed without gaps", {"bitspersample": 12}),
        ("zstd", np.uint8, "compressed by Zstandard", {"compression": "zstd"}),
        ("logluv", np.uint16, "in LogLuv", {"photometric": "logluv"}),
        ("ycbcr", np.uint8, "in YCbCr that is not compressed as JPEG", {"photometric": "ycbcr"}),
    ):
        pixels = values(3, kind) >> 4 if name == "12-bits" else values(3, kind)
        yield dataclasses.replace(written(name, pixels, **options), expected=None, refused=reason)
    separate = {"planarconfig": "separate", "tile": (16, 16)}
    tiled = written("tiled-planar", values(3, np.uint16).transpose(2, 0, 1), **separate)
    yield dataclasses.replace(tiled, expected=None, refused="colours lie in tiles of their own")
    old = test_refused.old_jpeg
    yield Kind(name="tiff-old-jpeg.tif", write=lambda path: old(path, tiled=True), refused="old-style JPEG inside")
