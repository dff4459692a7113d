"""Images that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from nafnet.train.synthetic.dead_leaves import DeadLeaves, DeadLeavesConfig
from nafnet.train.synthetic.textures import power_law_field, texture_bank

TINY = DeadLeavesConfig(size=64, max_radius=60.0, textures=4)


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
