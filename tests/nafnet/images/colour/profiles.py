"""Colour profiles made from the standard (ICC.1:2022), byte by byte, so that nothing of ours makes what is tested."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

D65 = (0.3127, 0.3290)
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
Primaries = Sequence[tuple[float, float]]
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


def to_xyz(primaries: Primaries) -> np.ndarray:
    """The matrix from light to XYZ under D50, by Bradford's adaptation."""
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    columns = np.stack([red, green, blue], 1)
    matrix = columns * np.linalg.solve(columns, white)
    cone = _BRADFORD @ _D50 / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD @ matrix


def gamma_curve(exponent: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, round(exponent * 65536))


def srgb_curve() -> bytes:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(number * 65536) for number in numbers))


def table_curve(light: Sequence[float]) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(light)}H", len(light), *(round(65535 * value) for value in light))


def matrix_profile(primaries: Primaries, *curves: bytes) -> bytes:
    """A display profile of one curve for all channels, or of three."""
    three = curves * 3 if len(curves) == 1 else curves
    columns = to_xyz(primaries).T
    tags = [(b"wtpt", _xyz(_D50))]
    tags += [(name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags += list(zip((b"rTRC", b"gTRC", b"bTRC"), three, strict=True))
    return _profile(b"RGB ", tags)


def grey_profile(curve: bytes) -> bytes:
    return _profile(b"GRAY", [(b"wtpt", _xyz(_D50)), (b"kTRC", curve)])


def table_profile(primaries: Primaries, power: float, sink: float) -> bytes:
    """A profile that is a table of colours: those of the primaries, but what has two channels is darker by a share."""
    matrix, corners = to_xyz(primaries), []
    for red, green, blue in np.ndindex(2, 2, 2):
        weight = 1 - sink if red + green + blue == 2 else 1.0
        corners.append(weight * matrix @ np.array([red, green, blue]))
    grid = np.clip(np.rint(np.array(corners) * 32768), 0, 65535).astype(">u2").tobytes()
    curve = np.rint(65535 * np.linspace(0, 1, 1024) ** power).astype(">u2").tobytes()
    straight = np.array([0, 65535], ">u2").tobytes()
    identity = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    head = b"mft2\0\0\0\0" + bytes((3, 3, 2, 0)) + identity + struct.pack(">HH", 1024, 2)
    return _profile(b"RGB ", [(b"wtpt", _xyz(_D50)), (b"A2B0", head + curve * 3 + grid + straight * 3)])


def _xyz(values: Sequence[float] | np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = "made for a test".encode("utf-16-be")
    words = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", words), (b"cprt", words), *tags]
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += struct.pack(">4sII", name, at + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), b"\0\0\0\0", 0x04400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 24
    head += struct.pack(">I3i", 0, *(round(float(value) * 65536) for value in _D50))
    return head.ljust(128, b"\0") + body
