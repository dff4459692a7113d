"""Half precision: the typed graph, what a CPU hides of it, and what the gate does when it overflows."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.checkpoint import Checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import RefusalError, export
from nafnet.export.gate.cases import picture
from nafnet.export.gate.half_storage import as_stored, stores_half
from nafnet.export.gate.parity import compare
from nafnet.export.network.graph import to_onnx, with_weights
from nafnet.export.network.opened import opened
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import amplifying, calming, residual_peaks, scaled
from nafnet.sessions import no_bfloat16
from nafnet.spec import Architecture, ModelSpec, Norm

Batch = NDArray[np.float32]


def run(model: onnx.ModelProto, batch: Batch) -> Batch:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": batch})[0]


def in_torch(module: nn.Module, batch: Batch) -> Batch:
    with torch.inference_mode():
        return module(torch.from_numpy(batch)).numpy()


def psnr(image: Batch, reference: Batch) -> float:
    return float(-10 * np.log10(np.mean((image.astype(np.float64) - reference) ** 2)))


def amplified(network: NAFNet, target: float) -> NAFNet:
    batch = picture(1, 3, 64, 48)
    return scaled(network, amplifying(residual_peaks(network, [batch]), target), keep_epsilon=True)


@pytest.fixture(scope="module")
def overflowing() -> onnx.ModelProto:
    """Two multiplications whose product is 1, with 300 x 300 between them, all in half."""
    constants = {"large": 300, "small": 1 / 300}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("Mul", ["half", "large"], ["product"]),
            helper.make_node("Mul", ["product", "small"], ["quotient"]),
            helper.make_node("Cast", ["quotient"], ["restored"], to=TensorProto.FLOAT),
        ],
        "overflowing",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array(value, np.float16), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_cpu_hides_what_half_cannot_hold_and_storage_shows_it(overflowing: onnx.ModelProto) -> None:
    image = np.array([300], np.float32)
    assert run(overflowing, image) == pytest.approx(300, rel=1e-2), "if this fails, ONNX Runtime has become honest"
    assert np.isinf(run(as_stored(overflowing), image))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", ["fused", "fused-fp32", "conv", "manual"])
def test_stored_half_is_what_torch_computes_in_half(dtype: torch.dtype, norm: Norm, checkpoint: Checkpoint) -> None:
    """PyTorch's CPU kernels keep half as half: an independent oracle for the emulation, and both near fp32."""
    network, batch = checkpoint.build(), picture(2, 3, 64, 48)
    module = InferenceNAFNet(network, norm, dtype=dtype)
    model = to_onnx(module, 3, 4)
    assert stores_half(model)
    exact, stored, torch_half = in_torch(network, batch), run(as_stored(model), batch), in_torch(module, batch)
    limit = 60 if dtype == torch.float16 else 45
    assert psnr(stored, exact) > limit
    assert psnr(stored, exact) == pytest.approx(psnr(torch_half, exact), abs=1.0)
    error = np.abs(stored - exact).max()
    assert np.abs(stored - torch_half).max() < 1.5 * error


def test_statistics_stay_in_fp32(checkpoint: Checkpoint) -> None:
    graph = to_onnx(InferenceNAFNet(checkpoint.build(), "fused", dtype=torch.float16), 3, 4).graph
    values = {value.name: value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(
        onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])).graph.value_info}  # fmt: skip
    means = [node for node in graph.node if node.op_type == "ReduceMean"]
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    assert {values[node.output[0]] for node in means} == {TensorProto.FLOAT}
    assert len(norms) == 6
    assert all(next(a.i for a in node.attribute if a.name == "stash_type") == TensorProto.FLOAT for node in norms)
    kinds = collections.Counter(tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4)
    assert set(kinds) == {TensorProto.FLOAT16}


@pytest.mark.parametrize("target", [175.0, 1000.0])
def test_amplified_network_is_the_same_function(target: float, checkpoint: Checkpoint) -> None:
    network, batch = checkpoint.build(), picture(1, 3, 64, 48)
    louder = amplified(network, target)
    assert residual_peaks(louder, [batch])[-1] == pytest.approx(target, rel=1e-3)
    assert residual_peaks(louder, [batch])[:-1] == pytest.approx(residual_peaks(network, [batch])[:-1], rel=1e-5)
    np.testing.assert_allclose(in_torch(louder, batch), in_torch(network, batch), atol=2e-4)
    factors = [2.0, 0.5, target]
    np.testing.assert_allclose(in_torch(scaled(network, factors), batch), in_torch(network, batch), atol=5e-6)


def test_calming_factors_are_powers_of_two() -> None:
    factors = calming([3.0, 8.0, 8.1, 70_000.0])
    assert factors == [1.0, 1.0, 0.5, 2.0**-14]


def test_naive_half_is_refused_and_typed_half_is_not(checkpoint: Checkpoint) -> None:
    """What `model.half()` gives today, at the activations of trained networks, and what this export gives there."""
    louder, batch = amplified(checkpoint.build(), 1000.0), picture(1, 3, 64, 48)
    expected = in_torch(louder, batch)

    class Naive(nn.Module):
        def __init__(self, network: NAFNet) -> None:
            super().__init__()
            self.network = network.half()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(image.half()).float()

    naive = run(as_stored(to_onnx(Naive(amplified(checkpoint.build(), 1000.0)), 3, 4)), batch)
    typed = run(as_stored(to_onnx(InferenceNAFNet(louder, "fused", dtype=torch.float16), 3, 4)), batch)
    assert compare("naive", "storage", naive, expected, "fp16").refused
    assert compare("typed", "storage", typed, expected, "fp16").refused is None


def test_what_overflows_half_is_scaled_and_says_so(checkpoint: Checkpoint) -> None:
    """A residual of 100,000 cannot be stored in half, whatever the form of the norm."""
    loud = Checkpoint(
        state_dict=dict(amplified(checkpoint.build(), 1e5).state_dict()), spec=checkpoint.spec, source=Path("loud")
    )
    exported = export(loud, ExportOptions(precision="fp16"))
    assert [attempt.split(":")[0] for attempt in exported.attempts] == ["norm fused", "norm fused-fp32", "norm conv"]
    assert "not finite" in exported.attempts[0]
    assert exported.spec.residual_scale is not None
    assert exported.spec.residual_scale[-1] <= 8e-5
    assert exported.spec.verified
    batch = picture(1, 3, 64, 48)
    assert psnr(run(as_stored(exported.model), batch), in_torch(loud.build(), batch)) > 60


def test_no_form_helps_what_overflows_elsewhere(checkpoint: Checkpoint) -> None:
    """And of the forms, only the one that was asked for is tried, and that one scaled."""
    with pytest.raises(RefusalError, match="parity refused") as refusal:
        export(broken(checkpoint), ExportOptions(precision="fp16", norm="fused"))
    assert [attempt.split(":")[0] for attempt in refusal.value.attempts] == ["norm fused", "norm fused, scaled"]
    assert refusal.value.exit_code == 3


def broken(checkpoint: Checkpoint) -> Checkpoint:
    """A network whose gate, and not its residual, passes what half can hold: no form of a norm can help."""
    state = {name: tensor.clone() for name, tensor in checkpoint.state_dict.items()}
    state["middle_blks.0.conv4.weight"] *= 3e3
    state["middle_blks.0.conv4.bias"] *= 3e3
    return Checkpoint(state_dict=state, spec=checkpoint.spec, source=Path("broken"))


def test_weights_can_be_exchanged(checkpoint: Checkpoint) -> None:
    """The gate amplifies a graph by giving it other weights, which must be all of them."""
    network, batch = checkpoint.build(), picture(1, 3, 64, 48)
    other = amplified(network, 500.0)
    with torch.no_grad():
        other.ending.weight *= 2
    origin = InferenceNAFNet(network, "fused")
    graph = to_onnx(origin, 3, 4)
    swapped = with_weights(graph, InferenceNAFNet(other, "fused"), origin)
    np.testing.assert_allclose(run(swapped, batch), in_torch(other, batch), atol=1e-4)
    np.testing.assert_allclose(run(graph, batch), in_torch(network, batch), atol=1e-5)


def test_equal_weights_are_not_confused(small_architecture: Architecture) -> None:
    """A network whose branches were never opened: the exporter merges its zeros, and the gate goes on all the same."""
    torch.manual_seed(0)
    network = NAFNet(small_architecture)
    closed = Checkpoint(
        state_dict=dict(network.state_dict()), source=Path("closed"),
        spec=ModelSpec(architecture=small_architecture, multiple=4, tile=32),
    )  # fmt: skip
    graph, other = to_onnx(InferenceNAFNet(network, "fused"), 3, 4), opened(network)
    with pytest.raises(AssertionError, match=r"the graph does not hold by name: .*project\.bias"):
        with_weights(graph, InferenceNAFNet(other, "fused"), InferenceNAFNet(network, "fused"))
    assert export(closed, ExportOptions(precision="fp16")).spec.verified


def test_bfloat16_needs_no_scaling(checkpoint: Checkpoint) -> None:
    exported = export(checkpoint, ExportOptions(precision="bf16"))
    assert exported.spec.parity is not None
    native = ("openvino-bf16",) if no_bfloat16() is None else ()
    assert exported.spec.parity.ran_on == ("openvino", *native, "bf16 storage")
    assert exported.spec.norm == "fused"
    assert isinstance(exported.spec, ModelSpec)
