"""PSNR and SSIM against scikit-image, and against SciPy for the volume; each protocol against its own words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nafnet.metrics import PROTOCOLS, psnr, ssim_3d_gaussian, ssim_rgb_gaussian


@pytest.mark.parametrize("sigma", [1, 10, 60])
def test_metrics_agree_with_scikit_image(sigma: int, photograph: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).normal(0, sigma, photograph.shape)
    noisy = np.clip(photograph + noise, 0, 255).astype(np.uint8)
    expected = peak_signal_noise_ratio(photograph, noisy, data_range=255)
    assert psnr(noisy, photograph, peak=255) == pytest.approx(expected, abs=1e-9)
    # truncate=3.5 at sigma 1.5 is their 11 x 11 window; their mean leaves out the same 5 pixels at each border.
    theirs = structural_similarity(
        photograph, noisy, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim_rgb_gaussian(noisy, photograph, peak=255) == pytest.approx(theirs, abs=1e-6)


def test_metrics_of_equal_and_of_unlike_images(photograph: NDArray[np.uint8]) -> None:
    assert psnr(photograph, photograph, peak=255) == float("inf")
    assert ssim_rgb_gaussian(photograph, photograph, peak=255) == pytest.approx(1)
    assert ssim_3d_gaussian(photograph, photograph, peak=255) == pytest.approx(1)
    for metric in (psnr, ssim_rgb_gaussian, ssim_3d_gaussian):
        with pytest.raises(ValueError, match="shape"):
            metric(photograph, photograph[1:], peak=255)


def volume_ssim(x: NDArray[np.float64], y: NDArray[np.float64], peak: float) -> float:
    """MATLAB's definition, with SciPy's filter: sigma 1.5, 11 a side (truncate 3.5), borders replicated."""

    def blur(volume: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(volume, 1.5, truncate=3.5, mode="nearest"))

    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    m_x, m_y = blur(x), blur(y)
    v_x, v_y, covariance = blur(x * x) - m_x * m_x, blur(y * y) - m_y * m_y, blur(x * y) - m_x * m_y
    return float(np.mean((2 * m_x * m_y + c1) * (2 * covariance + c2) / ((m_x**2 + m_y**2 + c1) * (v_x + v_y + c2))))


@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_the_volumes_ssim_agrees_with_scipy(peak: float, photograph: NDArray[np.uint8]) -> None:
    clean = photograph / 255 * peak
    noisy = clean + np.random.default_rng(0).normal(0, 0.1 * peak, clean.shape)
    assert ssim_3d_gaussian(noisy, clean, peak=peak) == pytest.approx(volume_ssim(noisy, clean, peak), abs=1e-9)
    with pytest.raises(ValueError, match="expected"):
        ssim_3d_gaussian(clean[..., 0], clean[..., 0], peak=peak)


def test_protocols_clip_and_round_as_they_say(photograph: NDArray[np.uint8]) -> None:
    clean = (photograph / 255).astype(np.float32)
    restored = (clean + np.random.default_rng(0).normal(0, 0.2, clean.shape)).astype(np.float32)
    clipped = restored.clip(0, 1)
    as_file, clean_file = np.rint(clipped * 255).astype(np.uint8), photograph
    sample = {"channel_axis": 2, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = {
        "plain": (
            peak_signal_noise_ratio(clean, clipped, data_range=1),
            structural_similarity(clean.astype(float), clipped.astype(float), data_range=1, **sample),
        ),
        "sidd": (peak_signal_noise_ratio(clean, restored, data_range=1), volume_ssim(*_doubles(restored, clean), 1)),
        "gopro": (
            peak_signal_noise_ratio(clean_file, as_file, data_range=255),
            volume_ssim(*_doubles(as_file, clean_file), 255),
        ),
    }
    assert set(expected) == set(PROTOCOLS)
    for name, scores in expected.items():
        assert PROTOCOLS[name](restored, clean) == pytest.approx(scores, abs=1e-5), name


def _doubles(*images: NDArray[np.generic]) -> list[NDArray[np.float64]]:
    return [image.astype(np.float64) for image in images]
