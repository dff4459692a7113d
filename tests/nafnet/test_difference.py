"""The figures of a comparison, against their definitions and scikit-image; what is no number; rounding to 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from nafnet.difference import MAX_REPORTED_PSNR, difference
from nafnet.parity import GATES, Precision

Planes = NDArray[np.float32]
ALL: list[Precision] = ["fp32", "fp16", "bf16", "int8"]


@pytest.fixture
def expected() -> Planes:
    """float32[2,3,40,50] between 0.05 and 0.95."""
    return np.random.default_rng(0).uniform(0.05, 0.95, (2, 3, 40, 50)).astype(np.float32)


def as_bytes(values: NDArray[np.floating]) -> Planes:
    """Whole numbers of 0 to 255 as the image contract has them."""
    return (values.astype(np.float64) / 255).astype(np.float32)


@pytest.mark.parametrize("spread", [1e-6, 1e-3, 0.1])
def test_figures_are_those_of_scikit_image_and_numpy(expected: Planes, spread: float) -> None:
    given = (expected + np.random.default_rng(1).normal(0, spread, expected.shape)).astype(np.float32)
    found = difference(given, expected, "bf16")
    error = np.abs(given.astype(np.float64) - expected.astype(np.float64))
    double = (expected.astype(np.float64), given.astype(np.float64))
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(*double, data_range=1.0), abs=0.006)
    assert found.max_abs == pytest.approx(error.max(), rel=1e-9)
    assert found.p999 == pytest.approx(np.percentile(error, 99.9), rel=1e-9)
    assert (found.refused is None) == (found.psnr >= 45)


def test_equal_results_have_a_figure_that_json_can_say(expected: Planes) -> None:
    found = difference(expected, expected.copy(), "fp32")
    assert (found.psnr, found.max_abs, found.p999, found.refused) == (MAX_REPORTED_PSNR, 0, 0, None)


@pytest.mark.parametrize(("precision", "error"), [("fp32", 2e-4), ("fp16", 2 / 255)])
def test_one_value_too_far_off_is_refused(expected: Planes, precision: Precision, error: float) -> None:
    given = expected.copy()
    given[1, 2, 3, 4] += np.float32(error)
    found = difference(given, expected, precision)
    assert found.psnr >= GATES[precision].psnr, "else the PSNR alone would do"
    assert found.refused is not None
    assert "largest difference" in found.refused


def test_a_thousandth_of_the_values_off_is_refused_in_half(expected: Planes) -> None:
    given = expected.copy()
    given.reshape(-1)[::500] += np.float32(0.9 / 255)
    found = difference(given, expected, "fp16")
    assert found.refused is not None
    assert "99.9th percentile" in found.refused


@pytest.mark.parametrize("precision", ALL)
def test_no_number_must_be_where_pytorch_has_none_and_nowhere_else(expected: Planes, precision: Precision) -> None:
    expected[0] = np.nan
    assert difference(expected.copy(), expected, precision).refused is None
    hidden = expected.copy()
    hidden[0, 1, 5, 6] = 0.5
    assert "are numbers" in str(difference(hidden, expected, precision).refused)
    for value in (np.nan, np.inf, -np.inf):
        spread = expected.copy()
        spread[1, 2, 3, 4] = value
        assert "are not finite" in str(difference(spread, expected, precision).refused)
    infinite = expected.copy()
    infinite[0, 0, 0, 0] = np.inf
    assert difference(infinite, expected, precision).refused, "infinity is not what PyTorch gives there"
    wrong = expected.copy()
    wrong[1] += np.float32(0.1)
    assert "dB, below" in str(difference(wrong, expected, precision).refused), "the rest is compared all the same"


def test_infinity_of_pytorchs_own_is_refused(expected: Planes) -> None:
    expected[0, 0, 0, 0] = np.inf
    assert "PyTorch itself" in str(difference(expected.copy(), expected, "bf16").refused)


def test_another_shape_is_refused(expected: Planes) -> None:
    assert difference(expected[:, :, :39], expected, "int8").refused == "gives [2, 3, 39, 50] for [2, 3, 40, 50]"
    assert difference(expected[:1], expected, "int8").refused, "which would broadcast"


@pytest.mark.parametrize("precision", ALL)
def test_bytes_that_are_rounded_to_the_nearest_pass(expected: Planes, precision: Precision) -> None:
    wide = expected * 2 - 0.5  # so that some of it is clipped
    found = difference(as_bytes(np.clip(np.rint(wide.astype(np.float64) * 255), 0, 255)), wide, precision, "uint8")
    assert found.refused is None
    assert found.psnr > 120, "what rounding must cost is no error"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("rounding", [np.floor, np.ceil])
def test_bytes_that_are_rounded_otherwise_are_refused(
    expected: Planes, precision: Precision, rounding: np.ufunc
) -> None:
    found = difference(as_bytes(rounding(expected.astype(np.float64) * 255)), expected, precision, "uint8")
    assert found.refused is not None


def test_what_the_precision_decides_is_not_counted() -> None:
    """A flat picture half-way between two bytes may come out as either in fp16; in fp32 near enough to it."""
    flat = np.full((1, 1, 20, 20), 100.45 / 255, np.float32)
    other = as_bytes(np.full(flat.shape, 101.0))
    assert difference(other, flat, "fp16", "uint8").refused is None
    assert difference(other, flat, "fp32", "uint8").refused is not None


def test_more_than_a_step_of_8_bits_is_refused(expected: Planes) -> None:
    """Also of one value alone; half-way between two bytes, which 0.5 is, the figures would let two steps pass."""
    nearest = np.rint(expected.astype(np.float64) * 255)
    exact = as_bytes(nearest)
    exact[0, 0, 0, 0] = 0.5
    for byte, refused in ((128, None), (127, None), (126, "2 steps of 8 bits off, more than one")):
        nearest[0, 0, 0, 0] = byte
        assert difference(as_bytes(nearest), exact, "fp16", "uint8").refused == refused
    nearest[0, 0, 0, 0] = 125
    assert "largest difference" in str(difference(as_bytes(nearest), exact, "fp16", "uint8").refused)


@pytest.mark.parametrize(("precision", "share", "passes"), [
    ("fp32", 0.005, True), ("fp32", 0.02, False), ("fp16", 0.2, True), ("fp16", 0.3, False),
])  # fmt: skip
def test_the_share_of_bytes_that_are_a_step_off(precision: Precision, share: float, passes: bool) -> None:
    """Further from the middle of two bytes than the precision's error, so it is the share that counts."""
    steps = np.random.default_rng(2).integers(20, 230, (1, 3, 40, 50)).astype(np.float64)
    exact = as_bytes(steps + (0.48 if precision == "fp32" else 0.24))
    off = (np.arange(steps.size).reshape(steps.shape) % 100) < 100 * share
    found = difference(as_bytes(steps + off), exact, precision, "uint8")
    assert (found.refused is None) == passes
    assert passes or "a step of 8 bits off" in str(found.refused)


def test_half_at_the_border_costs_nothing(expected: Planes) -> None:
    found = difference(expected.astype(np.float16).astype(np.float32), expected, "fp32", "float16")
    assert (found.refused, found.psnr) == (None, MAX_REPORTED_PSNR)
