"""Small photographs of every kind that the page reads by itself or by the browser."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

ORIENTATION, ARTIST = 0x0112, 0x013B
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(height: int, width: int, channels: int, kind: type[np.unsignedinteger] = np.uint8) -> NDArray[np.generic]:
    """Slopes and noise, with black and white in it."""
    white = np.iinfo(kind).max
    random = np.random.default_rng(height)
    slope = np.linspace(0, white, width)[None, :, None] + np.linspace(0, white / 4, height)[:, None, None]
    return np.clip(slope + random.normal(0, white / 10, (height, width, channels)), 0, white).astype(kind)


def png(path: Path, pixels: NDArray[np.generic], *chunks: tuple[bytes, bytes], filters: bool = True) -> Path:
    """A PNG of 8 or 16 bits, a row for each filter in turn; Pillow writes no 16 bits of RGB, and no alpha of theirs."""
    height, width, channels = pixels.shape
    depth = pixels.dtype.itemsize
    raw = pixels.astype(f">u{depth}").tobytes()
    row_bytes, step = width * channels * depth, channels * depth
    rows, above = [], bytes(row_bytes)
    for y in range(height):
        row = raw[y * row_bytes : (y + 1) * row_bytes]
        rows.append(_filtered(y % 5 if filters else 0, row, above, step))
        above = row
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    packed = zlib.compress(b"".join(rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", packed[:100]), (b"IDAT", packed[100:]), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))
    return path


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _filtered(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    """By the PNG recommendation: none, sub, up, average, Paeth."""
    a = np.frombuffer(bytes(step) + row[:-step] if len(row) > step else bytes(len(row)), np.uint8).astype(int)
    b = np.frombuffer(above, np.uint8).astype(int)
    c = np.frombuffer(bytes(step) + above[:-step] if len(row) > step else bytes(len(row)), np.uint8).astype(int)
    guess = a + b - c
    near = np.stack([abs(guess - a), abs(guess - b), abs(guess - c)]).argmin(0)
    predicted = [0 * a, a, b, (a + b) // 2, np.choose(near, [a, b, c])][kind]
    return bytes([kind]) + (np.frombuffer(row, np.uint8) - predicted).astype(np.uint8).tobytes()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION], made[ARTIST] = orientation, "Somebody"
    return made


def write_all(folder: Path) -> list[Path]:
    """One of each kind."""
    folder.mkdir()
    profile = b"sRGB\0\0" + zlib.compress(SRGB)
    made = [
        png(folder / "rgb.png", noise(150, 131, 3), (b"iCCP", profile)),
        png(folder / "grey.png", noise(70, 80, 1)),
        png(folder / "deep alpha.png", noise(40, 30, 4, np.uint16)),
        png(folder / "one pixel.png", noise(1, 1, 3)),
    ]
    Image.fromarray(noise(60, 50, 3)).quantize(11).save(folder / "palette.png", bits=4, transparency=2)
    Image.fromarray(noise(33, 45, 1)[:, :, 0] > 100).save(folder / "bits.png")
    for name, pixels in (("turned.jpg", noise(90, 61, 3)), ("plain.jpg", noise(50, 66, 1)[:, :, 0])):
        extra = {"icc_profile": SRGB} if pixels.ndim == 3 else {}
        Image.fromarray(pixels).save(folder / name, quality=95, subsampling=0, exif=exif(6), **extra)
    Image.fromarray(noise(48, 64, 3)).save(folder / "lossless.webp", lossless=True, exif=exif(1), icc_profile=SRGB)
    return [*made, *(folder / name for name in ("palette.png", "bits.png", "turned.jpg", "plain.jpg", "lossless.webp"))]
