"""A camera's noise, against its model and against other people's arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve

from nafnet.errors import RecipeError
from nafnet.train.synthetic.camera import CameraConfig, camera_noise, sharpened
from nafnet.train.synthetic.demosaicing import METHODS, demosaiced, mosaic
from nafnet.train.synthetic.tones import contrasted, to_linear, to_tones

PLAIN = {
    "red_gain": (2.0, 2.0), "blue_gain": (1.5, 1.5), "colours": (0.0, 0.0), "contrast": (1.0, 1.0),
    "sharpened_share": 0.0,
}  # fmt: skip
PHASES = [(0, 0), (0, 1), (1, 0), (1, 1)]

CROSS, SQUARE = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
# Figure 2 of Malvar, He and Cutler, times 8.
GREEN = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
ROW = np.array([[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]) / 8
DIAGONAL = np.array([[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]])


def sites(shape: tuple[int, int], phase: tuple[int, int]) -> tuple[NDArray[np.bool_], ...]:
    """Where a sensor has its red, green and blue pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    rows, columns = (y - phase[0]) % 2 == 0, (x - phase[1]) % 2 == 0
    return rows & columns, rows != columns, ~rows & ~columns


@pytest.mark.parametrize("phase", PHASES)
def test_a_mosaic_has_the_colour_of_each_site(phase: tuple[int, int]) -> None:
    planes = np.random.default_rng(0).random((7, 8, 3), np.float32)
    expected = np.select([*sites((7, 8), phase)], [planes[:, :, channel] for channel in range(3)])
    assert np.array_equal(mosaic(planes, phase), expected)


@pytest.mark.parametrize("phase", PHASES)
def test_bilinear_demosaicing_is_a_convolution_of_each_colours_samples(phase: tuple[int, int]) -> None:
    seen = np.random.default_rng(0).random((20, 27), np.float32)
    kernels = (SQUARE, CROSS, SQUARE)
    expected = [convolve(seen * site, kernel) for site, kernel in zip(sites(seen.shape, phase), kernels, strict=True)]
    got = demosaiced(seen, phase, "bilinear")
    np.testing.assert_allclose(got, np.stack(expected, 2)[2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("phase", PHASES)
def test_malvars_demosaicing_is_the_papers(phase: tuple[int, int]) -> None:
    seen = np.random.default_rng(0).random((20, 27)).astype(np.float64)
    red, green, blue = sites(seen.shape, phase)
    in_red_row = np.broadcast_to(red.any(1)[:, None], seen.shape)
    by_row, by_column, by_corner = convolve(seen, ROW), convolve(seen, ROW.T), convolve(seen, DIAGONAL / 8)
    expected = np.stack(
        [
            np.select([red, blue, in_red_row], [seen, by_corner, by_row], by_column),
            np.where(green, seen, convolve(seen, GREEN)),
            np.select([blue, red, in_red_row], [seen, by_corner, by_column], by_row),
        ],
        2,
    )
    got = demosaiced(seen.astype(np.float32), phase, "malvar")
    np.testing.assert_allclose(got, expected[2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("phase", PHASES)
def test_demosaicing_keeps_grey_ramps(method: str, phase: tuple[int, int]) -> None:
    y, x = np.mgrid[:16, :18]
    ramp = (0.01 * y + 0.02 * x).astype(np.float32)
    grey = np.repeat(ramp[:, :, None], 3, 2)
    np.testing.assert_allclose(demosaiced(mosaic(grey, phase), phase, method), grey[2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("grey", [0.2, 0.5, 0.8])
def test_a_cameras_variance_is_that_of_its_sensor(grey: float) -> None:
    """On grey of linear value x, before the tone curve, the variance of each channel is gain^2 (a x/gain + b)."""
    config = CameraConfig(mosaic_share=0.0, **PLAIN)
    shot, linear = 2e-4, ((grey + 0.055) / 1.055) ** 2.4
    clean = np.full((256, 256, 3), grey, np.float32)
    noisy = clean + camera_noise(clean, config, np.random.default_rng(3), shot)
    back = np.where(noisy > 0.04045, ((noisy + 0.055) / 1.055) ** 2.4, noisy / 12.92)
    gains = np.array([2.0, 1.0, 1.5])
    np.testing.assert_allclose(back.mean((0, 1)), linear, rtol=1e-2)
    # The read noise, exp(2.18 ln a + 1.2) give or take, is far below this.
    np.testing.assert_allclose(back.var((0, 1)), gains**2 * shot * linear / gains, rtol=0.04)


def test_the_colour_matrix_keeps_grey_and_correlates_the_channels() -> None:
    """Of a matrix with rows that sum to 1: grey stays grey, and noise goes from each channel to the others."""
    clean = np.full((256, 256, 3), 0.5, np.float32)
    for share, low, high in ((0.0, -0.02, 0.02), (1.0, -1.0, -0.1)):
        config = CameraConfig(**{**PLAIN, "colours": (share, share)}, mosaic_share=0.0)
        noise = camera_noise(clean, config, np.random.default_rng(0), 1e-4)
        np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=2e-3)
        between = np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]
        assert low < between < high


@pytest.mark.parametrize(("malvar", "low", "high"), [(0.0, 0.55, 0.75), (1.0, 0.2, 0.55)])
def test_a_cameras_noise_is_smeared_over_pixels(malvar: float, low: float, high: float) -> None:
    """Red, of which a sensor sees a quarter of the pixels: bilinearly its neighbours have more in common."""
    clean = np.full((256, 256, 3), 0.5, np.float32)

    def beside(config: CameraConfig) -> float:
        noise = camera_noise(clean, config, np.random.default_rng(0), 1e-3)[..., 0]
        return float(np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1])

    assert low < beside(CameraConfig(**PLAIN, mosaic_share=1.0, malvar_share=malvar)) < high
    assert abs(beside(CameraConfig(**PLAIN, mosaic_share=0.0))) < 0.02


def test_the_mosaic_begins_at_any_of_four_pixels() -> None:
    """The site of red is where its noise, not interpolated, has the largest variance; each phase has its quarter."""
    clean = np.full((64, 64, 3), 0.5, np.float32)
    config = CameraConfig(**PLAIN, mosaic_share=1.0, malvar_share=0.0)
    found = []
    for seed in range(200):
        red = camera_noise(clean, config, np.random.default_rng(seed), 1e-3)[..., 0]
        found.append(int(np.argmax([red[y::2, x::2].var() for y, x in PHASES])))
    counts = np.bincount(found, minlength=4)
    assert counts.min() > 30, counts


def test_strengths_reach_from_none_to_extreme() -> None:
    clean = np.full((32, 32, 3), 0.5, np.float32)
    strengths = [255 * camera_noise(clean, CameraConfig(), np.random.default_rng(seed)).std() for seed in range(300)]
    assert np.percentile(strengths, 5) < 1.5
    assert np.percentile(strengths, 95) > 25
    assert np.median(strengths) < 12, "weak noise is the more frequent"


def test_a_camera_adds_nothing_to_the_picture_but_noise() -> None:
    """However it develops: with hardly any light lost, what comes out is the picture that went in."""
    clean = np.random.default_rng(1).random((48, 48, 3), np.float32)
    for seed in range(12):
        added = camera_noise(clean, CameraConfig(), np.random.default_rng(seed), 1e-12)
        assert np.abs(added).max() < 1e-3


def test_tone_curves_are_taken_back() -> None:
    tones = np.linspace(0, 1, 1001, dtype=np.float32)
    np.testing.assert_allclose(to_tones(to_linear(tones)), tones, atol=1e-6)
    np.testing.assert_allclose(contrasted(contrasted(tones, 1.4), 1 / 1.4), tones, atol=1e-5)
    slope = (contrasted(tones, 1.4)[501] - contrasted(tones, 1.4)[499]) / (tones[501] - tones[499])
    assert slope == pytest.approx(1.4, rel=1e-2)


def test_sharpening_is_an_unsharp_mask() -> None:
    image = np.random.default_rng(0).random((16, 18, 3))
    blur = np.stack([convolve(image[..., channel], SQUARE / 4, mode="nearest") for channel in range(3)], 2)
    expected = image + 0.7 * (image - blur)
    np.testing.assert_allclose(sharpened(image.astype(np.float32), 0.7), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"shot": (0.0, 0.1)}, "shot is 0.0, 0.1; expected a range above 0"),
        ({"contrast": (1.4, 1.0)}, "contrast is 1.4, 1.0"),
        ({"sharpening": (-1.0, 1.0)}, "expected a range from 0 up"),
        ({"malvar_share": 1.5}, "malvar_share = 1.5; expected 0 to 1"),
    ],
)
def test_cameras_that_cannot_be_are_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        CameraConfig(**wrong)  # type: ignore[arg-type]
