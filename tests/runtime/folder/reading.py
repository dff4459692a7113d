"""Pictures read by libraries that are not ours, for the matrix of formats."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps


def read(path: Path) -> NDArray[Any]:
    """Upright, by a library that is not ours: tifffile, imagecodecs for JPEG XL, ours of 16-bit PNG, else Pillow."""
    if path.suffix in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as file:
            orientation = file.pages[0].tags.get(274)  # type: ignore[union-attr]
            turns = {1: 0, 3: 2, 6: -1}[orientation.value if orientation else 1]
            return np.rot90(grey_of_bits(file.asarray()), turns)
    if path.suffix == ".jxl":
        return np.asarray(imagecodecs.jpegxl_decode(path.read_bytes())).squeeze()
    if path.name.startswith("png-16"):
        return read_png16(path)
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        return grey_of_bits(np.asarray(upright.convert("RGB") if image.mode == "P" else upright))


def grey_of_bits(values: NDArray[Any]) -> NDArray[Any]:
    return values * np.uint8(255) if values.dtype == bool else values


def read_png16(path: Path) -> NDArray[np.uint16]:
    """By the specification: Pillow makes 8 bits of 16 in colour."""
    data, position, body = path.read_bytes(), 8, b""
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind = data[position + 4 : position + 8]
        content = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", content)
        body += content if kind == b"IDAT" else b""
        position += 12 + length
    assert (depth, interlace) == (16, 0)
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    raw = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + 2 * bands * width)
    return unfiltered(raw, 2 * bands).view(">u2").astype(np.uint16).reshape(height, width, bands).squeeze()


def unfiltered(raw: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """PNG's five filters undone, by its specification."""
    lines = np.zeros((raw.shape[0], raw.shape[1] - 1), np.uint8)
    for y, (kind, line) in enumerate(zip(raw[:, 0], raw[:, 1:], strict=True)):
        above = lines[y - 1].astype(int) if y else np.zeros(line.size, int)
        out = np.zeros(line.size, int)
        for x in range(line.size):
            left = out[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            guess = min((left, above[x], corner), key=lambda v: abs(left + above[x] - corner - v))
            out[x] = (int(line[x]) + (0, left, above[x], (left + above[x]) // 2, guess)[kind]) % 256
        lines[y] = out
    return np.ascontiguousarray(lines)


def read_upright(path: Path) -> NDArray[Any]:
    """Of a file that is not to be turned: in its own depth, also where Pillow gives 8 bits."""
    data = path.read_bytes()
    if path.suffix in (".ppm", ".pgm"):
        return read_netpbm(data)
    if path.suffix == ".png":
        return np.asarray(imagecodecs.png_decode(data))
    if path.suffix == ".avif":
        return np.asarray(imagecodecs.avif_decode(data))
    return read(path)


def read_netpbm(data: bytes) -> NDArray[Any]:
    """A binary PPM or PGM without comments, by the Netpbm manual."""
    magic, sides, largest, body = data.split(b"\n", 3)
    width, height = map(int, sides.split())
    stored = np.dtype(">u2" if int(largest) > 255 else "u1")
    made = np.frombuffer(body, stored).reshape(height, width, 3 if magic == b"P6" else 1)
    return made.astype(stored.newbyteorder("=")).squeeze()
