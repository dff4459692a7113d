"""Local pooling (TLC) as a graph: the box mean, at any size, and where none is needed."""

from __future__ import annotations

import collections

import numpy as np
import onnxruntime
import pytest
import torch

from nafnet.checkpoint import Checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export
from nafnet.export.network.box_mean import BoxMean
from nafnet.export.network.graph import to_onnx
from nafnet.export.network.rewrites import InferenceNAFNet


def box_mean(x: np.ndarray, box: int) -> np.ndarray:
    """Each window by itself, in double precision: the definition."""
    height, width = x.shape[2:]
    k_h, k_w = min(box, height), min(box, width)
    rows = [min(max(i - (k_h - 1) // 2, 0), height - k_h) for i in range(height)]
    columns = [min(max(j - (k_w - 1) // 2, 0), width - k_w) for j in range(width)]
    out = np.empty(x.shape)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            out[:, :, i, j] = x[:, :, top : top + k_h, left : left + k_w].mean((2, 3), dtype=np.float64)
    return out


@pytest.mark.parametrize("box", [4, 5, 12, 13, 50])
@pytest.mark.parametrize("size", [(13, 12), (12, 30), (5, 5)])
def test_box_mean_is_its_definition(box: int, size: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(3, 1, (2, 3, *size)).astype(np.float32)
    np.testing.assert_allclose(BoxMean(box)(torch.from_numpy(x)).numpy(), box_mean(x, box), atol=1e-5)


def test_box_mean_does_not_lose_digits_over_a_photograph() -> None:
    """Where a summed-area table in fp32 would: its corner holds the sum of all pixels."""
    x = np.random.default_rng(0).random((1, 1, 720, 1280)).astype(np.float32)
    exact = np.pad(x.astype(np.float64).cumsum(2).cumsum(3), ((0, 0), (0, 0), (1, 0), (1, 0)))
    k = 384
    inside = (exact[..., k:, k:] - exact[..., :-k, k:] - exact[..., k:, :-k] + exact[..., :-k, :-k]) / k**2
    given = BoxMean(k)(torch.from_numpy(x)).numpy()
    top = (k - 1) // 2
    np.testing.assert_allclose(given[:, :, top : top + 720 - k + 1, top : top + 1280 - k + 1], inside, atol=1e-6)


def test_half_is_summed_in_fp32() -> None:
    x = torch.full((1, 1, 300, 300), 0.7).half()
    assert BoxMean(200)(x).dtype == torch.float16
    torch.testing.assert_close(BoxMean(200)(x), x, atol=1e-3, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_dynamic_graph_pools_locally(precision: str, checkpoint: Checkpoint) -> None:
    """Larger and smaller than the box of 48 pixels in one or both directions, all with one file."""
    exported = export(checkpoint, ExportOptions(precision=precision, local_pooling=True))  # type: ignore[arg-type]
    assert exported.spec.local_pooling
    local, plain = checkpoint.build(local_pooling=True), checkpoint.build(local_pooling=False)
    session = onnxruntime.InferenceSession(exported.model.SerializeToString(), providers=["CPUExecutionProvider"])
    for size in ((48, 48), (32, 96), (96, 32), (100, 140)):
        batch = np.random.default_rng(1).random((2, 3, *size), np.float32)
        with torch.inference_mode():
            expected = local(torch.from_numpy(batch)).numpy()
            differs = np.abs(expected - plain(torch.from_numpy(batch)).numpy()).max()
        (given,) = session.run(None, {"image": batch})
        np.testing.assert_allclose(given, expected, atol=1e-5 if precision == "fp32" else 1 / 255)
        assert (differs > 1e-4) == (max(size) > 48), "where the box covers the image, they are the same"


@pytest.mark.parametrize(("side", "local"), [(48, False), (52, True), (96, True)])
def test_tile_inside_the_box_needs_no_local_pooling(side: int, local: bool, checkpoint: Checkpoint) -> None:
    network = checkpoint.build(local_pooling=True)
    model = to_onnx(InferenceNAFNet(network, "fused", side=side), 3, 4, side=side)
    operators = collections.Counter(node.op_type for node in model.graph.node)
    assert (operators["CumSum"] > 0) == local
    batch = np.random.default_rng(1).random((1, 3, side, side), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(session.run(None, {"image": batch})[0], expected, atol=1e-5)
