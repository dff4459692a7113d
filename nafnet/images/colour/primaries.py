"""Profiles for pictures whose primaries are named in numbers, written where a format has no place for the numbers.

Sources: ITU-T H.273, table 2 (codes); PNG, third edition, section 11.3.2.1 (cHRM); ICC.1:2022 (profiles), annex E
(adaptation to D50 by Bradford's matrix).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

import numpy as np

from nafnet.images.colour.transfer import Floats
from nafnet.images.metadata.metadata import Metadata

Primaries = tuple[tuple[float, float], ...]
"""x and y of red, green, blue and white."""
_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_NAMED: dict[int, Primaries] = {
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
_NEAR = 0.002
"""Of x and y."""
_LEAST_Y, _MOST = 0.0001, 1.001
"""Of y, and of x + y, of colours that can be."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])
_FIXED = 65536
"""1, in s15Fixed16."""
_SRGB_NUMBERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
SRGB_CURVE = b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(number * _FIXED) for number in _SRGB_NUMBERS))
"""Of a profile: sRGB's tone, by formula."""


def primaries_of(metadata: Metadata, carrier: Literal["codes", "calibration"]) -> Primaries | None:
    """The primaries that are named in numbers there; None where they are sRGB's, or nothing names them."""
    if carrier == "codes":
        found = _NAMED.get(metadata.codes[0]) if metadata.codes else None
    else:
        found = _chunk(dict(metadata.calibration).get("cHRM", b""))
    if found is None or np.abs(np.subtract(found, SRGB_PRIMARIES)).max() <= _NEAR:
        return None
    return found


def _chunk(content: bytes) -> Primaries | None:
    if len(content) != 32:
        return None
    white, *colours = np.array(struct.unpack(">8I", content)).reshape(4, 2) / 100_000
    pairs = [(float(x), float(y)) for x, y in (*colours, white)]
    is_real = all(y >= _LEAST_Y and x + y <= _MOST for x, y in pairs)
    return tuple(pairs) if is_real else None


def display_profile(primaries: Primaries, curve: bytes = SRGB_CURVE) -> bytes:
    """A profile of those primaries, and of a tone for all channels; empty where they span no colours.

    Args:
        primaries: of red, green, blue and white.
        curve: the content of its rTRC, gTRC and bTRC.
    """
    try:
        columns = to_xyz(primaries).T
    except np.linalg.LinAlgError:
        return b""
    if not np.isfinite(columns).all() or np.abs(columns).max() > 2:
        return b""
    tags = [(b"desc", _words("primaries of the picture")), (b"cprt", _words("no copyright, use freely"))]
    tags.append((b"wtpt", _xyz(D50)))
    tags += [(name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(tags)


def to_xyz(primaries: Primaries) -> Floats:
    """The matrix from light to XYZ under D50."""
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    columns = np.stack([red, green, blue], axis=1)
    light: Floats = columns * np.linalg.solve(columns, white)
    return to_d50(light)


def to_d50(columns: Floats) -> Floats:
    """XYZ of primaries, float[3,3], in columns, whose sum is white: under D50 what it is under that white."""
    cones = _BRADFORD @ D50 / (_BRADFORD @ columns.sum(1))
    adapted: Floats = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ columns
    return adapted


def _xyz(values: Sequence[float] | Floats) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * _FIXED) for value in values))


def _words(words: str) -> bytes:
    text = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text


def _profile(tags: Sequence[tuple[bytes, bytes]]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content.ljust(-(-len(content) // 4) * 4, b"\0")
    head = struct.pack(">I4sI4s4s4s", start + len(data), b"", 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    head += _xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + data
