"""A Bayer sensor's mosaic and two ways back from it, both linear, so that noise can be demosaiced by itself.

Source: "bilinear" is the mean of the nearest samples of a colour; "malvar" is Malvar, He and Cutler, "High-quality
linear interpolation for demosaicing of Bayer-patterned color images", ICASSP 2004, which corrects that mean by the
curvature of the colour that is there.

Shapes: H height, W width. A phase (y, x), each 0 or 1, is where the first red pixel lies: (0, 0) is RGGB, (0, 1) GRBG,
(1, 0) GBRG, (1, 1) BGGR. Blue lies diagonally beside red, green beside both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Phase = tuple[int, int]
Estimates = tuple[Image, Image, Image, Image]
BORDER = 2
"""Pixels at each edge that demosaicing reads and does not give back."""
_HALF = np.float32(0.5)


def mosaic(planes: Image, phase: Phase) -> Image:
    """What a sensor sees: float32[H,W] of float32[H,W,3], one colour for each pixel."""
    seen = planes[:, :, 1].copy()
    for channel, (top, left) in ((0, phase), (2, (1 - phase[0], 1 - phase[1]))):
        seen[top::2, left::2] = planes[top::2, left::2, channel]
    return seen


def demosaiced(seen: Image, phase: Phase, method: str) -> Image:
    """float32[H-4,W-4,3] of float32[H,W], without the `BORDER` that it takes from each edge.

    Args:
        seen: what the sensor saw.
        phase: of its mosaic.
        method: a key of `METHODS`.
    """
    cross, across, along, corners = METHODS[method](seen)
    here = _shifted(seen, 0, 0)
    result = np.empty((*here.shape, 3), np.float32)
    result[:, :, 1] = here
    for channel, (top, left) in ((0, phase), (2, (1 - phase[0], 1 - phase[1]))):  # BORDER is even: the phase stays
        own, row = np.s_[top::2, left::2], np.s_[top::2, 1 - left :: 2]
        column, opposite = np.s_[1 - top :: 2, left::2], np.s_[1 - top :: 2, 1 - left :: 2]
        result[(*own, channel)] = here[own]
        result[(*row, channel)] = across[row]
        result[(*column, channel)] = along[column]
        result[(*opposite, channel)] = corners[opposite]
        result[(*own, 1)] = cross[own]
    return result


def _bilinear(seen: Image) -> Estimates:
    """At each pixel the mean of its four neighbours, of the two in its row, of those in its column, of its corners."""
    across = (_shifted(seen, 0, -1) + _shifted(seen, 0, 1)) * _HALF
    along = (_shifted(seen, -1, 0) + _shifted(seen, 1, 0)) * _HALF
    return (across + along) * _HALF, across, along, _corners(seen) * _HALF * _HALF


def _malvar(seen: Image) -> Estimates:
    here = _shifted(seen, 0, 0)
    row, column = _shifted(seen, 0, -1) + _shifted(seen, 0, 1), _shifted(seen, -1, 0) + _shifted(seen, 1, 0)
    row_2, column_2 = _shifted(seen, 0, -2) + _shifted(seen, 0, 2), _shifted(seen, -2, 0) + _shifted(seen, 2, 0)
    corners = _corners(seen)
    two, four, five, six, eighth = (np.float32(factor) for factor in (2, 4, 5, 6, 1 / 8))
    return (
        (four * here + two * (row + column) - row_2 - column_2) * eighth,
        (five * here + four * row - row_2 + column_2 * _HALF - corners) * eighth,
        (five * here + four * column - column_2 + row_2 * _HALF - corners) * eighth,
        (six * here + two * corners - (row_2 + column_2) * np.float32(1.5)) * eighth,
    )


def _corners(seen: Image) -> Image:
    """The sum of the four diagonal neighbours."""
    above, below = (_shifted(seen, row, -1) + _shifted(seen, row, 1) for row in (-1, 1))
    return above + below


def _shifted(seen: Image, down: int, right: int) -> Image:
    """The inner pixels' neighbours at that distance."""
    height, width = (side - 2 * BORDER for side in seen.shape)
    return seen[BORDER + down : BORDER + down + height, BORDER + right : BORDER + right + width]


METHODS: Mapping[str, Callable[[Image], Estimates]] = MappingProxyType({"bilinear": _bilinear, "malvar": _malvar})
"""For each pixel of another colour: from the four beside it, from its row, from its column, from its corners."""
