"""PSNR and SSIM, named by protocol: which pixels, which peak, which window.

Images are [H,W,C] or [H,W], of equal shape. Nothing is cropped, and no colour space is changed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.generic]


def psnr(image: Image, reference: Image, *, peak: float) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB; infinite for equal images.

    Args:
        peak: the largest value a pixel can have: 255 for 8 bits, 65535 for 16, 1.0 for floats in [0, 1].

    Raises:
        ValueError: the shapes differ.
    """
    _check(image, reference)
    error = float(np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def ssim_rgb_gaussian(image: Image, reference: Image, *, peak: float) -> float:
    """Mean structural similarity with the original window: 11 x 11 Gaussian of sigma 1.5, per channel, then averaged.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004:
    K1 = 0.01, K2 = 0.03, population statistics, only windows that lie inside the image.

    Raises:
        ValueError: the shapes differ, or a side is below 11 pixels.
    """
    _check(image, reference)
    if min(image.shape[:2]) < 11:
        raise ValueError(f"SSIM needs at least 11 x 11 pixels, got {image.shape[0]} x {image.shape[1]}")
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _gaussian_window(x), _gaussian_window(y)
    var_x = _gaussian_window(x * x) - mean_x**2
    var_y = _gaussian_window(y * y) - mean_y**2
    covariance = _gaussian_window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(luminance * structure))


def _gaussian_window(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean over each 11 x 11 window inside the image: [H,W,...] -> [H-10,W-10,...]."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in (0, 1):
        length = x.shape[axis] - 10
        x = sum(w * np.take(x, range(i, i + length), axis) for i, w in enumerate(weights))
    return x


def _check(image: Image, reference: Image) -> None:
    if image.shape != reference.shape:
        raise ValueError(f"images differ in shape: {image.shape} and {reference.shape}")
