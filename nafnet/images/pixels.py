"""What a pixel is: the types it may have, which value is white, and from one type to another.

Shapes: n rows, W width, C values of a pixel, alpha included and last.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

PixelType = Literal["uint8", "uint16", "float32"]
PIXEL_TYPES: dict[int, PixelType] = {8: "uint8", 16: "uint16", 32: "float32"}
"""By bits."""
WHITE: dict[str, int] = {"uint8": 255, "uint16": 65535, "float32": 1}
"""What 1.0 is, by the name of a dtype."""
Rows = NDArray[np.generic]
"""[n,W,C] of one of `PIXEL_TYPES`; alpha, where there is one, is the last of C."""


def as_floats(rows: Rows) -> NDArray[np.float32]:
    """Rows with white at 1, in the precision that a network has; `convert_depth` rounds once, from twice of it."""
    return np.multiply(rows, np.float32(1 / WHITE[rows.dtype.name]), dtype=np.float32)


def convert_depth(rows: Rows, kind: PixelType) -> Rows:
    """Rows in another type: white stays white; integers are clipped and rounded, floats are neither."""
    if rows.dtype == kind:
        return rows
    scaled = rows.astype(np.float64) * (WHITE[kind] / WHITE[rows.dtype.name])
    return (scaled if kind == "float32" else np.clip(np.rint(scaled), 0, WHITE[kind])).astype(kind)


def widened(values: Rows, bits: int) -> NDArray[np.uint16]:
    """Values of `bits` bits, 9 to 15, over the full range of 16: white becomes 65535."""
    table = np.rint(np.arange(2**bits) * (65535 / (2**bits - 1))).astype(np.uint16)
    return table[np.minimum(values, 2**bits - 1)]
