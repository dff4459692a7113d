"""Images that are drawn, and the noise that is put on them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve

from nafnet.errors import RecipeError
from nafnet.train.synthetic.camera import CameraConfig, camera_noise, demosaiced
from nafnet.train.synthetic.dead_leaves import DeadLeaves, DeadLeavesConfig
from nafnet.train.synthetic.noise import NoiseConfig, add_noise, as_jpeg
from nafnet.train.synthetic.textures import power_law_field, texture_bank

TINY = DeadLeavesConfig(size=64, max_radius=60.0, textures=4)
NO_FILES = {"quantised_share": 0.0, "jpeg_share": 0.0, "clean_share": 0.0}
CAMERA = CameraConfig()


def test_images_repeat_with_the_seed_and_differ_without() -> None:
    first, again = DeadLeaves(TINY, 1), DeadLeaves(TINY, 1)
    assert np.array_equal(first.image(3), again.image(3))
    assert not np.array_equal(first.image(3), first.image(4))
    assert not np.array_equal(first.image(3), DeadLeaves(TINY, 2).image(3))


def test_images_fill_the_range_and_no_more() -> None:
    generator = DeadLeaves(TINY, 0)
    pictures = np.stack([generator.image(index) for index in range(12)])
    assert pictures.shape == (12, 64, 64, 3)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.max() > 0.9
    assert pictures.std((1, 2)).min() > 0.01, "no picture is empty"


def test_radii_follow_the_power_law() -> None:
    """The count of radii above r falls as r to 1 - exponent; a straight line in logarithms, of that slope."""
    config = DeadLeavesConfig(size=512, exponents=(3.0, 3.0), coverage=50.0)
    radii = DeadLeaves(config, 0)._radii(np.random.default_rng(0))
    at = np.array([6.0, 10.0, 20.0, 40.0])
    above = np.array([(radii > r).sum() for r in at])
    slope = np.polyfit(np.log(at), np.log(above), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.15)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_fields_have_the_spectrum_asked_for(slope: float) -> None:
    field = power_law_field(np.random.default_rng(0), 256, slope)
    power = np.abs(np.fft.fft2(field)) ** 2
    radius = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256))).astype(int)
    mean = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    fitted = np.polyfit(np.log(np.arange(4, 100)), np.log(mean[4:100]), 1)[0]
    assert fitted == pytest.approx(-2 * slope, abs=0.15)


def test_textures_are_standardised() -> None:
    bank = texture_bank(np.random.default_rng(0), 12, 64).astype(np.float64)
    np.testing.assert_allclose(bank.mean((1, 2)), 0, atol=2e-3)
    np.testing.assert_allclose(bank.std((1, 2)), 1, atol=1e-2)


def noise_of(config: NoiseConfig, clean: np.ndarray, count: int) -> np.ndarray:
    return np.stack([add_noise(clean, config, CAMERA, np.random.default_rng(i)) - clean for i in range(count)])


def test_gaussian_noise_has_the_strength_asked_for() -> None:
    config = NoiseConfig(max_sigma=50, camera_share=0, chroma_share=0, **NO_FILES)
    noise = noise_of(config, np.full((16, 16, 3), 0.5, np.float32), 400)
    sigma = noise.std((1, 2, 3)) * 255
    assert noise.dtype == np.float32
    assert sigma.min() < 3
    assert 47 < sigma.max() < 55
    assert sigma.mean() == pytest.approx(25, abs=2)


def test_shares_are_shares() -> None:
    clean = np.random.default_rng(0).random((16, 16, 3), np.float32)
    none = NoiseConfig(clean_share=0.25, quantised_share=0, jpeg_share=0)
    untouched = [not noise.any() for noise in noise_of(none, clean, 300)]
    assert np.mean(untouched) == pytest.approx(0.25, abs=0.07)
    files = NoiseConfig(clean_share=0, quantised_share=1.0, jpeg_share=0)
    held = (noise_of(files, clean, 20) + clean) * 255
    np.testing.assert_allclose(held, held.round(), atol=1e-4)


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(RecipeError, match="shares"):
        NoiseConfig(camera_share=0.9, clean_share=0.2)
    with pytest.raises(RecipeError, match="together"):
        NoiseConfig(quantised_share=0.8, jpeg_share=0.3)
    with pytest.raises(RecipeError, match="range above 0"):
        CameraConfig(shot=(0.0, 0.1))


def test_a_cameras_variance_is_that_of_its_sensor() -> None:
    """On grey of linear value x, before the tone curve, the variance of each channel is gain^2 (a x/gain + b)."""
    config = CameraConfig(red_gain=(2.0, 2.0), blue_gain=(1.5, 1.5), mosaic_share=0.0)
    shot, grey, linear = 2e-3, np.float32(0.5), ((0.5 + 0.055) / 1.055) ** 2.4
    clean = np.full((256, 256, 3), grey)
    noisy = clean + camera_noise(clean, config, np.random.default_rng(3), shot)
    back = np.where(noisy > 0.04045, ((noisy + 0.055) / 1.055) ** 2.4, noisy / 12.92)
    gains = np.array([2.0, 1.0, 1.5])
    measured = back.var((0, 1)) - gains**2 * (shot * linear / gains)
    assert back.mean() == pytest.approx(linear, rel=1e-2)
    assert (measured > 0).all(), "what is left is the read noise"
    read = measured / gains**2
    assert read.max() < 1e-4


def test_demosaicing_is_bilinear() -> None:
    """Against a convolution of each colour's samples, as textbooks have it; the border apart."""
    image = np.random.default_rng(0).random((20, 26, 3)).astype(np.float32)
    y, x = np.mgrid[:20, :26]
    masks = [(y % 2 == 0) & (x % 2 == 0), (y + x) % 2 == 1, (y % 2 == 1) & (x % 2 == 1)]
    cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    expected = np.stack(
        [convolve(image[..., c] * m, k) for c, (m, k) in enumerate(zip(masks, (square, cross, square), strict=True))], 2
    )
    np.testing.assert_allclose(demosaiced(image)[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-6)


def test_a_cameras_noise_is_smeared_over_pixels() -> None:
    clean = np.full((128, 128, 3), 0.5, np.float32)
    noise = camera_noise(clean, CameraConfig(mosaic_share=1.0), np.random.default_rng(0), 4e-3)[..., 0]
    beside = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert beside > 0.3
    apart = camera_noise(clean, CameraConfig(mosaic_share=0.0), np.random.default_rng(0), 4e-3)[..., 0]
    assert abs(np.corrcoef(apart[:, :-1].ravel(), apart[:, 1:].ravel())[0, 1]) < 0.05


def test_jpeg_is_what_pillow_writes() -> None:
    image = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    file = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, "JPEG", quality=80, subsampling="4:2:0")
    expected = np.asarray(Image.open(file))
    assert np.array_equal(np.rint(as_jpeg(image, 80, halved=True) * 255).astype(np.uint8), expected)
