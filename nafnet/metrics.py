"""PSNR and SSIM, named by protocol: which pixels, which peak, which window.

Images are [H,W,C] or [H,W], of equal shape. Nothing is cropped, and no colour space is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

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
    return _ssim(image.astype(np.float64), reference.astype(np.float64), peak, axes=(0, 1))


def ssim_3d_gaussian(image: Image, reference: Image, *, peak: float) -> float:
    """Mean structural similarity of [H,W,C] taken as a volume: a window of 11 x 11 x 11, borders replicated.

    This is what MATLAB's `ssim` does to a colour image, and so what the GoPro figures in papers mean; the authors of
    NAFNet evaluate both data sets with it. Where C is 3 the window reaches over the replicated channels, which ranks
    colour errors lower than `ssim_rgb_gaussian` does.

    Raises:
        ValueError: the shapes differ, or an image is no colour image.
    """
    _check(image, reference)
    if image.ndim != 3:
        raise ValueError(f"expected [H,W,C], got {list(image.shape)}")
    x, y = (np.pad(side.astype(np.float64), 5, mode="edge") for side in (image, reference))
    return _ssim(x, y, peak, axes=(0, 1, 2))


def _ssim(x: NDArray[np.float64], y: NDArray[np.float64], peak: float, axes: tuple[int, ...]) -> float:
    mean_x, mean_y = _gaussian_window(x, axes), _gaussian_window(y, axes)
    var_x = _gaussian_window(x * x, axes) - mean_x**2
    var_y = _gaussian_window(y * y, axes) - mean_y**2
    covariance = _gaussian_window(x * y, axes) - mean_x * mean_y
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.mean(luminance * structure))


def _gaussian_window(x: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Weighted mean over each window of 11 a side inside the image; each of `axes` gets shorter by 10."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    for axis in axes:
        moved = np.moveaxis(x, axis, 0)
        length = len(moved) - 10
        mean = weights[0] * moved[:length]
        for i in range(1, 11):
            mean += weights[i] * moved[i : i + length]
        x = np.moveaxis(mean, 0, axis)
    return x


def plain_scores(restored: Image, clean: Image) -> tuple[float, float]:
    """(PSNR in dB, SSIM per channel) of floats in [0, 1]; what was restored is clipped first."""
    clipped = np.clip(restored, 0, 1)
    return psnr(clipped, clean, peak=1.0), ssim_rgb_gaussian(clipped, clean, peak=1.0)


def sidd_scores(restored: Image, clean: Image) -> tuple[float, float]:
    """(PSNR in dB, SSIM as a volume) of floats, nothing clipped, as NAFNet's authors evaluate SIDD.

    Their code takes a peak of 255 where a restored value exceeds 1; here the peak is 1 always.
    """
    return psnr(restored, clean, peak=1.0), ssim_3d_gaussian(restored, clean, peak=1.0)


def gopro_scores(restored: Image, clean: Image) -> tuple[float, float]:
    """(PSNR in dB, SSIM as a volume) of both as 8-bit files hold them, as MATLAB gives it for GoPro."""
    x, y = (np.rint(np.clip(side, 0, 1) * 255) for side in (restored, clean))
    return psnr(x, y, peak=255), ssim_3d_gaussian(x, y, peak=255)


PROTOCOLS: Mapping[str, Callable[[Image, Image], tuple[float, float]]] = MappingProxyType(
    {"plain": plain_scores, "sidd": sidd_scores, "gopro": gopro_scores}
)
"""How a restored image is compared with a clean one, floats [H,W,C] both."""


def _check(image: Image, reference: Image) -> None:
    if image.shape != reference.shape:
        raise ValueError(f"images differ in shape: {image.shape} and {reference.shape}")
