"""int8: what is quantised, what stays in half by measurement, and what is refused."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import onnx
import pytest

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.attempts.quantise import fewest_in_half
from nafnet.export.exporter import export
from nafnet.export.gate.truth import TruthLoss, measure_loss, pairs
from nafnet.pretrained import bundled_model
from nafnet.spec import Architecture
from tests.export.conftest import MakeNetwork


@pytest.mark.parametrize("needed", [1, 2, 5, 9])
def test_bisection_keeps_the_fewest(needed: int) -> None:
    asked: list[int] = []

    def accepted(count: int) -> bool:
        asked.append(count)
        return count >= needed

    assert fewest_in_half(10, accepted) == needed
    assert len(asked) <= 5
    assert fewest_in_half(10, lambda _: False) is None


@pytest.fixture(scope="module")
def bundled() -> Checkpoint:
    return load_checkpoint(bundled_model(".safetensors"))


@pytest.mark.slow
def test_bundled_model_is_quantised_whole(bundled: Checkpoint) -> None:
    exported = export(bundled, ExportOptions(precision="int8"))
    spec, found = exported.spec, exported.verification
    assert found is not None
    assert (spec.precision, spec.half_layers, spec.verified) == ("int8", (), True)
    assert found.truth is not None
    assert found.truth.loss <= 0.1
    assert spec.parity is not None
    assert spec.parity.psnr >= 40
    graph = exported.model.graph
    counts = collections.Counter(node.op_type for node in graph.node)
    produced = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert counts["QuantizeLinear"] > len(convolutions)
    for node in convolutions:
        assert [produced[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8}


def test_what_costs_most_stays_in_half(checkpoint: Checkpoint, make_network: MakeNetwork) -> None:
    """In this network the last convolution's input has a range that one scale cannot hold."""
    deep = Architecture(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
    state = {name: tensor.clone() for name, tensor in make_network(deep).state_dict().items()}
    for name, tensor in state.items():
        if name.endswith(("beta", "gamma")) and not name.startswith("decoders.1.0"):
            tensor *= 0.1
    spec = dataclasses.replace(checkpoint.spec, architecture=deep)
    quiet = Checkpoint(state_dict=state, spec=spec, source=checkpoint.source)
    notes: list[str] = []
    exported = export(quiet, ExportOptions(precision="int8"), notes.append)
    assert "parity refused" in notes[1], "with everything in int8"
    alone = {line.split()[4]: float(line.split()[-2]) for line in notes if " alone: " in line}
    kept = exported.spec.half_layers
    assert kept
    assert set(kept) == set(sorted(alone, key=lambda name: alone[name])[: len(kept)]), "the dearest by measurement"
    for tensor in exported.model.graph.initializer:
        if tensor.name.endswith(".weight_quantized"):
            assert not tensor.name.removeprefix("module.").startswith(kept)
    assert exported.spec.verified


def test_truth_is_noise_added_or_what_the_user_gave() -> None:
    clean = [np.full((3, 8, 8), 0.5, np.float32)]
    ((noisy, want),) = pairs("denoise", [], clean)
    assert noisy.shape == want.shape == (1, 3, 8, 8)
    assert np.std(noisy - want) == pytest.approx(25 / 255, rel=0.2)
    assert pairs("deblur", [], clean) == []
    ((have, want),) = pairs("deblur", clean, clean)
    assert have.shape == want.shape == (1, 3, 8, 8)
    loss = measure_loss(lambda x: x, lambda x: x + np.float32(0.1), pairs("deblur", [clean[0] + 0.05], clean))
    assert loss is not None
    assert loss.reference_psnr == pytest.approx(26.02, abs=0.01)
    assert loss.refused
    assert TruthLoss(pictures=1, reference_psnr=30, psnr=29.95).refused is None


def test_ranges_are_taken_from_more_than_the_middle(checkpoint: Checkpoint) -> None:
    """Where only the border of a photograph is bright, int8's scale of the first convolution knows of it."""
    photograph = np.full((3, 300, 200), 0.2, np.float32)
    photograph[:, :64, :40] = 3.0  # beyond all else that is calibrated on, as it may be in a float TIFF
    notes: list[str] = []
    scales = []
    for given in (photograph, photograph[:, 118:182, 80:120]):  # the whole, and its middle alone
        options = ExportOptions(precision="int8", verify=False, photographs=[given])
        graph = export(checkpoint, options, notes.append).model.graph
        values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
        scales.append(float(values[first.input[1]]))
    assert notes[0].startswith("int8: calibrating on 3 parts of 1 photograph")
    assert notes[1].startswith("int8: calibrating on 1 part of 1 photograph")
    assert scales[0] > 2 * scales[1]
