"""What crosses a model's border, and the image contract inside: conversions between the two, on the host.

Inside, a batch is float32[N,C,H,W] in [0, 1]. An artefact may take and give float16[N,C,H,W], or uint8[N,H,W,C] as
8-bit files hold it, for half or a quarter of the bytes on the way to a GPU; its spec says which (`ModelSpec.io`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nafnet.spec import WireType

Batch = NDArray[np.float32]
# The largest relative error of rounding to half.
HALF_ROUNDING = 2.0**-11


def wire_shape(shape: tuple[int, ...], wire: WireType) -> tuple[int, ...]:
    """(N, C, H, W) as the shape of the artefact's own input."""
    count, channels, height, width = shape
    return (count, height, width, channels) if wire == "uint8" else (count, channels, height, width)


def wire_dtype(wire: WireType) -> np.dtype[np.generic]:
    """The type of the values that cross the border."""
    return np.dtype(wire)


def to_wire(batch: Batch, wire: WireType) -> NDArray[np.generic]:
    """float32[N,C,H,W] as the artefact takes it; for uint8, values are clipped and rounded to the nearest of 256."""
    if wire == "float16":
        return batch.astype(np.float16)
    if wire == "uint8":
        return np.ascontiguousarray(np.clip(np.rint(batch * 255), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))
    return batch


def from_wire(batch: NDArray[np.generic], wire: WireType) -> Batch:
    """What the artefact gave, as float32[N,C,H,W]."""
    if wire == "uint8":
        return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32) * np.float32(1 / 255)
    return batch.astype(np.float32, copy=False)


def wire_rounding(batch: Batch, wire: WireType) -> Batch | float:
    """The largest error that putting `batch` on the wire can make of each value, in units of [0, 1]."""
    if wire == "uint8":
        return 0.5 / 255
    if wire == "float16":
        return np.abs(batch) * np.float32(HALF_ROUNDING)
    return 0.0
