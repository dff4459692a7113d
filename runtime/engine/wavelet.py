"""Structure in what a model took from a picture, told from noise by wavelet shrinkage.

The transform is undecimated, by the B3 spline, "à trous": Starck and Murtagh, "Astronomical Image and Data Analysis",
2nd ed., 2006, section 1.4. The threshold is soft, as in Donoho, "De-noising by soft-thresholding", IEEE Transactions on
Information Theory 41 (1995), with the noise of each scale estimated by its median absolute deviation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SCALES = 3
"""Details of about 1, 2 and 4 pixels; what is coarser is not taken back."""
THRESHOLD = 3.0
"""In standard deviations of the noise."""
_MAD = 0.6745
"""The median absolute deviation of a normal distribution, in standard deviations."""
_B3 = (1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16)

Plane = NDArray[np.float32]


def structure(removed: Plane) -> Plane:
    """Of float32[h,w] what stands out of its noise, in the same units."""
    kept = np.zeros_like(removed)
    smooth = removed
    for scale in range(SCALES):
        smoother = _blurred(_blurred(smooth, 1 << scale, 0), 1 << scale, 1)
        detail = smooth - smoother
        threshold = np.float32(THRESHOLD / _MAD * np.median(np.abs(detail)))
        kept += np.sign(detail) * np.maximum(np.abs(detail) - threshold, 0)
        smooth = smoother
    return kept


def _blurred(plane: Plane, step: int, axis: int) -> Plane:
    """With the B3 spline along an axis, its five weights so many pixels apart; the picture is mirrored at its edges."""
    reach = 2 * step
    pad = [(reach, reach) if each == axis else (0, 0) for each in range(2)]
    wide = np.pad(plane, pad, mode="symmetric")
    size = plane.shape[axis]
    made = np.zeros_like(plane)
    for index, weight in enumerate(_B3):
        part = slice(index * step, index * step + size)
        made += np.float32(weight) * (wide[part] if axis == 0 else wide[:, part])
    return made
