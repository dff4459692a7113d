"""Kinds of Netpbm, PNG, JPEG, HEIC, AVIF, WebP, JPEG XL and raw for the matrix of formats.

Written by Pillow, pillow-heif, imagecodecs and libultrahdr, or by hand as the standards have it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from nafnet.images.carried import XMP_ALONE
from nafnet.images.decoders.converted import BUILT_IN
from tests.nafnet.images.decoders import test_converted as converted
from tests.nafnet.images.decoders import test_raw as raw
from tests.nafnet.images.metadata import test_several as several
from tests.nafnet.images.metadata import test_turned as turned
from tests.runtime.folder.kinds import HEIGHT, LOSSY, WIDTH, Kind, smooth

READ_ALONE = "HEIF is read alone, and became JPEG of quality 95: --format chooses another"


def netpbm() -> Iterator[Kind]:
    for channels, largest, plain in itertools.product((1, 3), (15, 255, 4095, 65535), (True, False)):
        pixels = np.random.default_rng(largest).integers(0, largest, (HEIGHT, WIDTH, channels), endpoint=True)
        white = 255 if largest < 256 else 65535
        number = (2 if channels == 1 else 3) + (0 if plain else 3)
        head = f"P{number}\n# made\n{WIDTH} {HEIGHT}\n{largest}\n".encode()
        body = pixels.astype(">u2" if largest > 255 else "u1").tobytes()
        data = head + (" ".join(map(str, pixels.ravel())).encode() if plain else body)
        notes = () if largest == white else (f"values of up to {largest} became ones of up to {white}",)
        expected = np.rint(pixels * (white / largest)).astype(np.uint8 if white == 255 else np.uint16)
        suffix = "pgm" if channels == 1 else "ppm"
        if notes or plain:
            yield Kind(
                name=f"p{number}-{largest}.{suffix}", write=lambda path, data=data: path.write_bytes(data),
                expected=expected.squeeze(), notes=notes,
            )  # fmt: skip
    bits = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH))
    for number, body in (
        (1, "\n".join("".join(map(str, row)) for row in bits).encode()),
        (4, np.packbits(bits, axis=1)),
    ):
        data = f"P{number} {WIDTH} {HEIGHT}\n".encode() + bytes(body)
        yield Kind(
            name=f"p{number}.pbm", write=lambda path, data=data: path.write_bytes(data), result=f"p{number}.ppm",
            expected=(255 * (1 - bits)).astype(np.uint8), notes=("1 bit became 8",),
        )  # fmt: skip


def png() -> Iterator[Kind]:
    plain = turned.PIXELS
    for orientation, behind in itertools.product((2, 5, 6, 8), (False, True)):
        chunk = (b"eXIf", turned.exif(orientation).removeprefix(b"Exif\0\0"))
        yield Kind(
            name=f"exif-{orientation}-{behind}.png", expected=turned.turned(orientation),
            write=lambda path, chunk=chunk, behind=behind: turned.png(path, chunk, behind=behind),
        )  # fmt: skip
    for form, kind in itertools.product(("tEXt", "zTXt", "iTXt"), (b"exif", b"APP1")):
        text = turned.text_chunk(form, b"Raw profile type " + kind, turned.raw_profile(kind, turned.exif(6)))
        yield Kind(
            name=f"exif-in-{form}-{kind.decode()}.png", expected=turned.turned(6),
            write=lambda path, text=text: turned.png(path, text),
        )  # fmt: skip
    yield Kind(name="one-frame.png", write=lambda path: turned.apng(path, frames=1), expected=plain)
    yield Kind(name="texts.png", write=lambda path: turned.png(path, *turned.TEXTS), expected=plain)
    packet = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + turned.XMP)
    yield Kind(name="xmp-alone.png", write=lambda path: turned.png(path, packet), expected=plain, notes=(XMP_ALONE,))
    for name, chunk in (("linear", (b"gAMA", b"\0\1\x86\xa0")), ("p3", (b"cICP", b"\x0c\x0d\0\1"))):
        yield Kind(name=f"colours-{name}.png", write=lambda path, chunk=chunk: turned.png(path, chunk), expected=plain)


def jpeg() -> Iterator[Kind]:
    image = Image.fromarray(smooth())
    for name, options in {
        "420": {"subsampling": 2},
        "422": {"subsampling": 1},
        "restarts": {"restart_marker_rows": 1},
    }.items():
        save = lambda path, options=options: image.save(path, quality=95, **options)  # noqa: E731, each is used once
        yield Kind(name=f"jpeg-{name}.jpg", write=save, expected=smooth(), most=LOSSY)
    for orientation in range(2, 9):
        exif = turned.exif(orientation)
        image.getexif()[0x0112] = orientation
        yield Kind(
            name=f"jpeg-turned-{orientation}.jpg", expected=np.asarray(ImageOps.exif_transpose(image)), most=LOSSY,
            write=lambda path, exif=exif: Image.fromarray(smooth()).save(path, quality=95, exif=exif),
        )  # fmt: skip
    yield Kind(name="views.mpo", write=several.mpo, expected=several.SMOOTH, most=LOSSY, result="views.jpg",
               notes=(several.CASES[several.mpo],))  # fmt: skip
    inks = Image.fromarray(converted.INKS.repeat(4, 0).repeat(4, 1), "CMYK")
    expected = converted.by_littlecms(np.asarray(inks))
    save = lambda path: inks.save(path, quality=95)  # noqa: E731, as above
    yield Kind(name="jpeg-cmyk.jpg", write=save, expected=expected.astype(np.uint8), notes=(BUILT_IN,), most=25)
    gain = "HDR gain map not kept"
    yield Kind(name="ultra-iso.jpg", write=several.iso_ultra_hdr, notes=(gain,))
    notes = (gain, "the pictures or the video in it not kept")
    yield Kind(name="ultra.jpg", write=several.xmp_ultra_hdr, expected=several.SMOOTH, most=LOSSY, notes=notes)


def others() -> Iterator[Kind]:
    """HEIC, AVIF, WebP, JPEG XL and raw."""
    for mode, deep in (("L", False), ("RGB", False), ("RGB;16", True)):
        pixels = smooth(1 if mode == "L" else 3)
        stored = pixels.astype(np.uint16) * 257 if deep else pixels
        notes = (READ_ALONE, *(("uint16 became uint8, the most that jpeg holds",) if deep else ()))
        yield Kind(
            name=f"heic-{mode[:3]}-{deep}.heic", result=f"heic-{mode[:3]}-{deep}.jpg", expected=pixels, most=LOSSY,
            write=lambda path, mode=mode, stored=stored: heic(path, mode, stored), notes=notes,
        )  # fmt: skip
    for orientation in (3, 6, 8):
        image = Image.fromarray(smooth())
        image.getexif()[0x0112] = orientation
        exif = turned.exif(orientation)
        yield Kind(
            name=f"heic-turned-{orientation}.heic", result=f"heic-turned-{orientation}.jpg", most=LOSSY,
            write=lambda path, exif=exif: heic(path, "RGB", smooth(), exif=exif), notes=(READ_ALONE,),
            expected=np.asarray(ImageOps.exif_transpose(image)),
        )  # fmt: skip
        yield Kind(
            name=f"webp-turned-{orientation}.webp", expected=np.asarray(ImageOps.exif_transpose(image)),
            write=lambda path, exif=exif: Image.fromarray(smooth()).save(path, lossless=True, exif=exif),
        )  # fmt: skip
    for bits, (primaries, transfer) in itertools.product((10, 12), ((1, 13), (12, 13), (9, 16))):
        stored = np.rint(smooth() * ((2**bits - 1) / 255)).astype(np.uint16)
        options: Any = {"primaries": primaries, "transfer": transfer, "matrix": 0, "speed": 8}
        data = imagecodecs.avif_encode(stored, 100, bitspersample=bits, pixelformat="444", **options)
        yield Kind(
            name=f"avif-{bits}-{primaries}-{transfer}.avif", write=lambda path, data=data: path.write_bytes(data),
            expected=stored, most=LOSSY * 2 ** (bits - 8),
        )  # fmt: skip
    light = np.full((raw.HEIGHT, raw.WIDTH), 0.18)
    yield Kind(
        name="grey.dng", result="grey.tif", write=lambda path: path.write_bytes(raw.dng(raw.grey(light))), most=400,
        expected=np.full((raw.HEIGHT, raw.WIDTH, 3), raw.encoded(0.18)).astype(np.uint16),
        notes=("RAW is read alone, and became TIFF: --format chooses another",),
    )  # fmt: skip


def heic(path: Path, mode: str, pixels: Any, **options: Any) -> None:
    file = pillow_heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    file.save(path, quality=-1, chroma=444, matrix_coefficients=0, **options)
