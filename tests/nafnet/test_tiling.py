"""Tiling: the plan's promises, and blending that is exact where tiles agree and has no step where they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nafnet.errors import UsageError
from nafnet.runtime import Restorer
from nafnet.tiling import AxisPlan, TilePlan, blend_tiles, cut_tiles, plan_tiles, ramp

SIZES = [(1, 1), (7, 500), (256, 256), (257, 255), (1000, 1333)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0, 1, 16, 32, 100, 128, 240])
def test_identity_gives_the_image_back_bit_for_bit(size: tuple[int, int], overlap: int) -> None:
    image = np.random.default_rng(0).random((3, *size), np.float32)
    plan = plan_tiles(*size, tile=256, overlap=overlap, multiple=16)
    assert np.array_equal(blend_tiles((tile.copy() for tile in cut_tiles(image, plan)), plan, 3), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", SIZES)
def test_identity_backend_keeps_every_bit(dtype: type[np.generic], size: tuple[int, int], identity_onnx: Path) -> None:
    random = np.random.default_rng(0).random((*size, 3))
    pixels = (random * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)  # type: ignore[type-var]
    with Restorer.load(identity_onnx, backend="onnxruntime", overlap=24) as restorer:
        restored = restorer.restore(pixels)
    assert restored.dtype == pixels.dtype
    assert np.array_equal(restored, pixels)


def test_plans_keep_their_promises() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        multiple = int(2 ** rng.integers(0, 6))
        tile = multiple * int(rng.integers(1, 20))
        overlap, length = int(rng.integers(0, tile)), int(rng.integers(1, 3000))
        plan = plan_tiles(length, 1, tile=tile, overlap=overlap, multiple=multiple).rows
        assert plan.tile % multiple == 0
        assert plan.tile <= max(tile, multiple)
        assert plan.starts[0] == 0
        if len(plan.starts) == 1:
            assert length <= plan.tile < length + multiple
            continue
        assert plan.starts[-1] + plan.tile == length
        gaps = np.diff(plan.starts)
        assert (gaps > 0).all()
        assert (plan.tile - gaps >= overlap).all()
        assert np.ptp(gaps) <= 1, "spread evenly"


@pytest.mark.parametrize("length", [1, 2, 16, 77])
def test_ramp_treats_both_tiles_alike(length: int) -> None:
    weights = ramp(length)
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6)
    assert (np.diff(weights) > 0).all()
    assert weights[0] > 0
    assert weights[-1] < 1


def test_tiles_that_disagree_are_joined_without_a_step() -> None:
    columns = AxisPlan(length=112, tile=64, starts=(0, 48))
    plan = TilePlan(rows=AxisPlan(length=8, tile=8, starts=(0,)), columns=columns)
    tiles = [np.full((1, 8, 64), value, np.float32) for value in (0, 1)]
    blended = blend_tiles(tiles, plan, 1)[0, 0]
    assert (blended[:48] == 0).all()
    assert (blended[64:] == 1).all()
    assert np.diff(blended).min() >= 0
    assert np.diff(blended).max() < 0.11, "the steepest of half a cosine over 16 pixels is pi / 32"


@pytest.mark.parametrize(("tile", "overlap"), [(100, 0), (0, 0), (8, 0), (64, 64), (64, -1), (64, 100)])
def test_impossible_tiles_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        plan_tiles(100, 100, tile=tile, overlap=overlap, multiple=16)
