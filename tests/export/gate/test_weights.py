"""Weights that are not the network's are found in the file, where no picture would show them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import nn

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.export.attempts.attempt import make_graph
from nafnet.export.gate.cases import Case, picture
from nafnet.export.gate.executors import executors
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.verification import Verification
from nafnet.export.gate.weights import wrong_weights
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.spec import ModelSpec

DEEP = "middle_blks.0.gate2.weight"


def edit(model: onnx.ModelProto, name: str, index: tuple[int, ...], factor: float) -> None:
    """Multiply one value of an initialiser."""
    (tensor,) = (each for each in model.graph.initializer if each.name == name)
    values = numpy_helper.to_array(tensor).copy()
    assert values[index] != 0
    values[index] = np.asarray(values[index] * factor).astype(values.dtype)
    tensor.CopyFrom(numpy_helper.from_array(values, name))


@dataclasses.dataclass(frozen=True)
class Written:
    """A graph, and the module whose weights it is to hold."""

    content: bytes
    module: InferenceNAFNet
    spec: ModelSpec

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.ModelProto.FromString(self.content)


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def written(request: pytest.FixtureRequest, checkpoint_path: Path) -> Written:
    checkpoint = load_checkpoint(checkpoint_path)
    spec = checkpoint.spec.replace(precision=request.param, norm="fused")
    graph = make_graph(checkpoint.build(), spec, calm=request.param == "fp16")
    return Written(graph.content, graph.module, graph.spec)


@pytest.mark.parametrize("factor", [-1.0, 1 + 2.0**-10, 0.0])
def test_one_weight_in_the_middle_is_missed(written: Written, factor: float) -> None:
    model = written.model
    assert wrong_weights(model, written.module) is None
    edit(model, f"module.{DEEP}", (3, 2, 0, 0), factor)
    held = {each.name for each in model.graph.initializer}
    count = sum(f"module.{name}" in held for name, _ in written.module.named_parameters())
    said = f"1 of {count} weights in the file are not the network's, {DEEP} first"
    assert (count > 20, wrong_weights(model, written.module)) == (True, said)


def test_the_gate_refuses_a_weight_that_no_picture_shows(written: Written, checkpoint: Checkpoint) -> None:
    """One of the sixty-four of a 1x1 convolution, made larger by next to nothing: all comparisons go well."""
    model = written.model
    edit(model, f"module.{DEEP}", (3, 2, 0, 0), 1 + (2.0**-20 if written.spec.precision == "fp32" else 2.0**-10))
    found = Verification(Reference(checkpoint.build()), written.spec)
    runs = executors(model.SerializeToString(), written.spec)
    found.compare_all([Case(name="a picture", batch=picture(1, 3, 64, 48))], runs)
    assert found.rows
    assert found.passed
    found.compare_weights(model, written.module)
    assert not found.passed
    assert f"weights in the file are not the network's, {DEEP} first" in str(found.refusal())


def test_two_weights_in_each_others_place_are_missed(written: Written) -> None:
    model = written.model
    held = {each.name: each for each in model.graph.initializer}
    one, other = (held[f"module.middle_blks.0.gate{number}.weight"] for number in (1, 2))
    one.name, other.name = other.name, one.name
    assert str(wrong_weights(model, written.module)).startswith("2 of ")


def test_weights_of_another_shape_or_of_no_name_are_missed(written: Written) -> None:
    model = written.model
    (tensor,) = (each for each in model.graph.initializer if each.name == f"module.{DEEP}")
    tensor.CopyFrom(numpy_helper.from_array(np.zeros((3, 3), np.float32), tensor.name))
    assert f"{DEEP} first" in str(wrong_weights(model, written.module))
    for number, each in enumerate(model.graph.initializer):
        each.name = f"onnx::{number}"
    assert wrong_weights(model, written.module) == "none of the network's weights is in the graph by its name"


class OneConvolution(nn.Module):
    """Of two channels into four."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3)


def quantised(module: OneConvolution, zero: int = 0) -> tuple[onnx.ModelProto, NDArray[np.int8]]:
    """A file that holds the weight in 8 bits, with a scale for each output channel, and the bias as it is."""
    weight = module.conv.weight.detach().numpy()
    scale = (np.abs(weight).max(axis=(1, 2, 3)) / 62).astype(np.float32)
    values = (np.rint(weight / scale[:, None, None, None]) + zero).astype(np.int8)
    label = "module.conv.weight"
    tensors = [
        numpy_helper.from_array(values, f"{label}_quantized"),
        numpy_helper.from_array(scale, f"{label}_scale"),
        numpy_helper.from_array(np.full(4, zero, np.int8), f"{label}_zero_point"),
        numpy_helper.from_array(module.conv.bias.detach().numpy(), "module.conv.bias"),  # type: ignore[union-attr]
    ]
    return onnx.ModelProto(graph=onnx.GraphProto(initializer=tensors)), values


@pytest.mark.parametrize("zero", [0, 5])
def test_weights_in_8_bits_are_the_nearest(zero: int) -> None:
    module = OneConvolution()
    model, values = quantised(module, zero)
    assert wrong_weights(model, module) is None
    for steps in (2, -2, -2 * int(values[2, 1, 0, 0])):
        other = values.copy()
        other[2, 1, 0, 0] += np.int8(steps)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(other, "module.conv.weight_quantized"))
        assert wrong_weights(model, module) == "1 of 2 weights in the file are not the network's, conv.weight first"


def test_a_scale_so_coarse_that_zero_is_the_nearest_is_missed() -> None:
    module = OneConvolution()
    model, values = quantised(module)
    for name, array in (("quantized", np.zeros_like(values)), ("scale", np.full(4, 9, np.float32))):
        tensor = next(each for each in model.graph.initializer if each.name.endswith(name))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    assert wrong_weights(model, module) is not None


def test_weights_of_8_bits_are_refused() -> None:
    """Sums of their products saturate on processors without VNNI."""
    module = OneConvolution()
    model, values = quantised(module)
    scale = next(each for each in model.graph.initializer if each.name.endswith("scale"))
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 2, scale.name))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values * np.int8(2), "module.conv.weight_quantized"))
    assert wrong_weights(model, module) is not None


@pytest.mark.parametrize("number", [1, 2])
def test_a_scale_or_a_zero_point_of_another_channel_is_missed(number: int) -> None:
    module = OneConvolution()
    model, _ = quantised(module, 5)
    tensor = model.graph.initializer[number]
    values = numpy_helper.to_array(tensor).copy()
    values[3] += values[3] if number == 1 else 3
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    assert "conv.weight first" in str(wrong_weights(model, module))


def test_quantised_values_of_another_type_or_without_a_scale_are_missed() -> None:
    module = OneConvolution()
    model, values = quantised(module)
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(values.astype(np.int32), "module.conv.weight_quantized")
    )
    assert model.graph.initializer[0].data_type == TensorProto.INT32
    assert "conv.weight first" in str(wrong_weights(model, module))
    model, _ = quantised(module)
    del model.graph.initializer[1]
    assert "conv.weight first" in str(wrong_weights(model, module))
