"""Sizes that an exported graph takes: any, whether or not the network asks for them."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nafnet.checkpoint import Checkpoint
from nafnet.export.network.box_mean import BoxMean
from nafnet.export.network.graph import to_onnx
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.spec import WireType


class Flattened(nn.Module):
    """Its exporter writes the example's sizes into the graph, unless it is told that they are free."""

    def forward(self, image: Tensor) -> Tensor:
        return (image.flatten(2) * 2).reshape(image.shape)


class Ramp(nn.Module):
    """A constant of the image's width is added."""

    def forward(self, image: Tensor) -> Tensor:
        return image + torch.arange(image.shape[3])


class Pooled(nn.Module):
    """Over a box that the exporter's example fits in: there it is the mean of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BoxMean(30)

    def forward(self, image: Tensor) -> Tensor:
        return image + self.pool(image)


@pytest.mark.parametrize("module", [Flattened(), Ramp(), Pooled()], ids=lambda module: type(module).__name__)
def test_what_asks_for_sizes_is_right_at_others(module: nn.Module) -> None:
    model = to_onnx(module, 3, 4)
    for shape in ((2, 3, 16, 24), (1, 3, 48, 40), (3, 3, 20, 8)):
        image = np.random.default_rng(0).random(shape, np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (made,) = session.run(None, {"image": image})
        np.testing.assert_allclose(made, module(torch.from_numpy(image)).numpy(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What PyTorch's exporter was told of the sizes, each time."""
    plain = torch.onnx.export
    found: list[object] = []

    def exported(*words: object, **options: object) -> object:
        found.append(options["dynamic_shapes"])
        return plain(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.onnx, "export", exported)
    return found


@pytest.mark.parametrize(("wire", "side"), [("uint8", None), ("float32", 16)])
def test_the_exporter_reckons_with_formulas_only_where_it_must(
    wire: WireType, side: int | None, checkpoint: Checkpoint, asked: list[object]
) -> None:
    """They take two to three times as long."""
    to_onnx(InferenceNAFNet(checkpoint.build(), "rms", side=side), 3, 4, wire=wire, side=side)
    assert asked == [None]


def test_the_graph_is_the_one_of_formulas(
    checkpoint: Checkpoint, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = InferenceNAFNet(checkpoint.build(), "rms")
    quick = to_onnx(module, 3, 4)
    monkeypatch.setattr("nafnet.export.network.graph._takes_others", lambda *_: False)
    free = to_onnx(module, 3, 4)
    assert [shapes is None for shapes in asked] == [True, True, False]
    assert [node.op_type for node in quick.graph.node] == [node.op_type for node in free.graph.node]
    assert quick.graph.input == free.graph.input
    assert quick.graph.output == free.graph.output
    weights = [
        {each.name for each in model.graph.initializer if each.name.startswith("module.")} for model in (quick, free)
    ]
    assert weights[0] == weights[1]
    assert weights[0]
