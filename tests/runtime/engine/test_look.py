"""Strength, chroma and detail: exact at their ends, and each on its own part of the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nafnet.errors import UsageError
from nafnet.runtime import Look, Restorer
from nafnet.runtime.engine.look import LUMA
from nafnet.runtime.engine.wavelet import structure
from tests.runtime.engine.conftest import MakeOnnx


@pytest.fixture(scope="module")
def denoiser() -> Iterator[Restorer]:
    with Restorer.load(threads=1, tile=64) as restorer:
        yield restorer


def noisy(photograph: NDArray[np.uint8], kind: str) -> NDArray[np.generic]:
    values = photograph[:100, :90] + np.random.default_rng(0).normal(0, 15, (100, 90, 3))
    if kind == "float32":
        return (values / 255).astype(np.float32)  # some are below 0 and above 1
    white = np.iinfo(kind).max
    return np.clip(np.rint(values * (white / 255)), 0, white).astype(kind)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_exact_at_both_ends_and_between_them(
    kind: str, channels: int, denoiser: Restorer, photograph: NDArray[np.uint8]
) -> None:
    pixels = noisy(photograph, kind)[:, :, :channels]
    whole = denoiser.restore(pixels)
    assert not np.array_equal(whole, pixels)
    assert np.array_equal(denoiser.restore(pixels, Look(strength=0)), pixels)
    assert np.array_equal(denoiser.restore(pixels, Look(strength=1, chroma=1, detail=0)), whole)
    half = denoiser.restore(pixels, Look(strength=0.5)).astype(np.float64)
    step, white = (1e-6, np.inf) if kind == "float32" else (1.0, np.iinfo(kind).max)
    inside = (whole < white) & ((whole > 0) | (kind == "float32"))
    off = np.abs(half - (whole.astype(np.float64) + pixels) / 2)
    assert off[inside].max() <= step, "but for what was cut off at black and white"
    assert (np.abs(half - pixels) <= np.abs(whole.astype(np.float64) - pixels) + step).all()


def test_chroma_alone_leaves_luminance(denoiser: Restorer, photograph: NDArray[np.uint8]) -> None:
    pixels = noisy(photograph, "uint8")
    pixels = np.clip(pixels, 30, 220)  # nothing is clipped then
    colours = denoiser.restore(pixels, Look(strength=0, chroma=1)).astype(np.float64)
    assert np.abs((colours - pixels) @ LUMA).max() <= 0.5 + 1e-6, "to the rounding"
    luminance = denoiser.restore(pixels, Look(strength=1, chroma=0)).astype(np.float64)
    whole = denoiser.restore(pixels).astype(np.float64)
    assert np.abs((luminance - whole) @ LUMA).max() <= 1 + 1e-6
    spread = [np.std(made - (made @ LUMA)[..., None], axis=(0, 1)).mean() for made in (pixels.astype(float), colours)]
    assert spread[1] < spread[0], "spots of colour are gone"


@pytest.mark.parametrize("name", ["strength", "chroma", "detail"])
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, math.inf])
def test_what_is_no_share_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{name} {value}: expected a number from 0 to 1"):
        Look(**{name: value})


def test_structure_stands_out_of_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (200, 200)).astype(np.float32)
    line = np.zeros_like(noise)
    line[100, 20:180] = 0.5
    found = structure(noise + line)
    assert found[100, 20:180].mean() > 0.25
    off = np.delete(found, range(96, 105), 0)
    assert np.sqrt((off**2).mean()) < 0.1 * 0.05, "of noise next to nothing is taken for structure"
    assert np.array_equal(structure(np.zeros((8, 8), np.float32)), np.zeros((8, 8)))
    assert structure(np.ones((1, 1), np.float32)).shape == (1, 1)


def test_detail_gives_back_what_the_model_took(make_onnx: MakeOnnx) -> None:
    """A model that darkens everything takes a fine line as well; of it the line comes back, and the rest not."""
    path = make_onnx(
        helper.make_node("Mul", ["image", "factor"], ["restored"]),
        initializer=[numpy_helper.from_array(np.float32(0.5), "factor")],
    )
    picture = np.full((64, 64, 3), 40, np.uint8)
    picture[30:32] = 240
    picture += np.random.default_rng(0).integers(0, 3, picture.shape, np.uint8)
    with Restorer.load(path, device="cpu") as restorer:
        whole, detailed = (restorer.restore(picture, Look(detail=share)).astype(int) for share in (0, 1))
    assert (detailed - whole)[30:32].mean() > 30
    assert abs((detailed - whole)[:16].mean()) < 1


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_several_looks_of_one_pass(
    kind: str, channels: int, denoiser: Restorer, photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is what it would be alone, whatever stands before it: strengths, and details of their own."""
    pixels = noisy(photograph, kind)[:, :, :channels]
    looks = [
        Look(), Look(strength=0), Look(strength=0.5, detail=0.5), Look(detail=0.5), Look(),
        Look(strength=0.3, chroma=1), Look(detail=1),
    ]  # fmt: skip
    alone = [denoiser.restore(pixels, look) for look in looks]
    shapes: list[tuple[int, ...]] = []
    honest = denoiser.backend._run
    monkeypatch.setattr(denoiser.backend, "_run", lambda given: (shapes.append(given.shape), honest(given))[1])
    denoiser.restore(pixels)
    once = shapes.copy()
    shapes.clear()
    together = denoiser.restore_looks(pixels, looks)
    assert shapes == once
    assert len(together) == len(looks)
    for each, expected in zip(together, alone, strict=True):
        assert each.dtype == pixels.dtype
        assert np.array_equal(each, expected)
    assert not np.array_equal(together[2], together[3])
    assert denoiser.restore_looks(pixels, []) == []


def test_several_looks_of_a_model_that_takes_bytes(make_onnx: MakeOnnx, photograph: NDArray[np.uint8]) -> None:
    """Whose rows are given as they are, and are the same memory for each."""
    nodes = [helper.make_node("BitwiseNot", ["image"], ["restored"])]
    path = make_onnx(*nodes, kind=TensorProto.UINT8, shape=("batch", "height", "width", 3))
    looks = [Look(), Look(strength=0.5), Look(strength=0)]
    with Restorer.load(path, device="cpu", tile=64) as restorer:
        whole, half, nothing = restorer.restore_looks(photograph, looks)
    assert np.array_equal(whole, 255 - photograph)
    assert np.abs(half.astype(int) - 127.5).max() <= 0.5
    assert np.array_equal(nothing, photograph)
