"""Which level an operator belongs to: in our graphs, in what ONNX Runtime and TensorRT-RTX make of them."""

from __future__ import annotations

import collections
from pathlib import Path

import onnx
import pytest
import torch

from nafnet.architecture import NAFNet
from nafnet.benchmarks.profiles.levels import (
    CONVOLUTION,
    DEPTHWISE,
    ELEMENTWISE,
    LAYOUT,
    NORM,
    OTHER,
    POINTWISE,
    Levels,
    Operator,
    Place,
    level_names,
    operators_of,
)
from nafnet.benchmarks.profiles.measured import by_level, fastest
from nafnet.benchmarks.rows.exports import Exports
from nafnet.checkpoint import load_checkpoint
from nafnet.spec import Architecture

BLOCKS = (1, 1)
"""Of the encoders; few, for the exporter takes a second for each."""
NAMES = ("encoder 1", "encoder 2", "middle", "decoder 2", "decoder 1")


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with two levels above the middle."""
    torch.manual_seed(0)
    architecture = Architecture(width=4, encoder_blocks=BLOCKS, middle_blocks=1, decoder_blocks=(1, 1))
    network = NAFNet(architecture)
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("model") / "deep.pth"
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def deep_exports(deep: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(load_checkpoint(deep), tmp_path_factory.mktemp("exports"), "rms")


def graph_of(exports: Exports, form: str) -> onnx.ModelProto:
    model = exports.naive() if form == "naive" else exports.ours("fp16" if form == "fp16" else "fp32")
    return onnx.load(model.path)


def placed(model: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    """(level, kind) of each node."""
    levels = Levels(model, len(BLOCKS))
    operators = list(operators_of(model))
    places = levels.place(operators)
    return {each.name: (levels.name(place), place.kind) for each, place in zip(operators, places, strict=True)}


@pytest.mark.parametrize("form", ["naive", "fp32", "fp16"])
def test_every_operator_of_an_export_has_its_level(deep_exports: Exports, form: str) -> None:
    model = graph_of(deep_exports, form)
    found = placed(model)
    assert len(found) == len(model.graph.node)
    assert {kind for _, kind in found.values()} - {OTHER} == {kind for _, kind in found.values()}
    outside = {name for name, (level, _) in found.items() if level == "outside"}
    assert {node.op_type for node in model.graph.node if node.name in outside} <= {"Pad", "Cast"}
    assert tuple(dict.fromkeys(level for level, _ in found.values() if level != "outside")) == NAMES
    # Depthwise convolutions: one of a block as published, two of ours, and in fp32 one that adds a skip.
    depthwise = collections.Counter(level for level, kind in found.values() if kind == DEPTHWISE)
    blocks = dict(zip(NAMES, (*BLOCKS, 1, 1, 1), strict=True))
    each, skips = (1 if form == "naive" else 2), form == "fp32"
    assert depthwise == {
        name: each * count + (skips and name.startswith("decoder")) for name, count in blocks.items()
    }  # fmt: skip


def test_modules_between_levels_belong_to_the_one_they_lead_to(deep_exports: Exports) -> None:
    model = graph_of(deep_exports, "fp32")
    found = placed(model)
    by_weight = {node.input[1]: found[node.name] for node in model.graph.node if node.op_type == "Conv"}
    assert by_weight["module.intro.weight"] == ("encoder 1", CONVOLUTION)
    assert by_weight["module.downs.0.weight"] == ("encoder 2", CONVOLUTION)
    assert by_weight["module.downs.1.weight"] == ("middle", CONVOLUTION)
    assert by_weight["module.ups.0.0.weight"] == ("decoder 2", POINTWISE)
    assert by_weight["module.ups.1.0.weight"] == ("decoder 1", POINTWISE)
    assert by_weight["module.decoders.0.0.expand1.weight"] == ("decoder 2", POINTWISE)
    # A constant that several norms share has the name of the first.
    shared = [
        found[node.name] for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] == "module.encoders.0.0.norm1.averaging"
    ]  # fmt: skip
    assert shared == [("encoder 1", NORM)] * 2 + [("decoder 1", NORM)] * 2
    assert found[model.graph.node[-1].name][0] == "decoder 1"


def test_what_a_library_fuses_is_known_by_what_it_was(deep_exports: Exports) -> None:
    levels = Levels(graph_of(deep_exports, "fp32"), len(BLOCKS))
    first = Operator(name="a", kind=None, names=["node_conv2d_2", "node_conv2d_3"], takes=["image"], gives=["a"])
    put_in = Operator(name="b", kind=LAYOUT, names=[], takes=["a"], gives=["b"])
    unknown = Operator(name="c", kind=ELEMENTWISE, names=["Power_7"], takes=["elsewhere"], gives=["c"])
    assert levels.place([first, put_in, unknown]) == [
        Place(level=0, kind=POINTWISE), Place(level=0, kind=LAYOUT), Place(level=None, kind=ELEMENTWISE)
    ]  # fmt: skip


def test_a_layer_of_an_engine_is_known_by_the_names_in_its_own(deep_exports: Exports) -> None:
    """Those that TensorRT-RTX's parser gives, as an engine has them together."""
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    log = trt.Logger(trt.Logger.ERROR)
    model = deep_exports.ours("fp32").path
    levels = Levels(onnx.load(model), len(BLOCKS))
    network = trt.Builder(log).create_network()
    assert trt.OnnxParser(network, log).parse_from_file(str(model))
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    told = [levels.place_of_text(f"{layer.name} {layer.metadata}") for layer in layers if layer.metadata]
    assert {place.level for place in told} == set(range(len(NAMES)))
    assert {place.kind for place in told} & {OTHER} == set()
    fused = levels.place_of_text("node_conv2d_2 + node_conv2d_3")
    assert fused == Place(level=0, kind=POINTWISE)
    last = [layer.name for layer in layers if layer.metadata][-1]
    assert levels.place_of_text(f"{{ForeignNode[node_conv2d...{last}]}}").level is None, "of several levels"
    assert levels.place_of_text("__myl_Move") == Place(level=None, kind=OTHER)


def test_the_fastest_run_adds_up() -> None:
    near, far = Place(level=0, kind=POINTWISE), Place(level=None, kind=LAYOUT)
    slow, fast = [(near, 0.5), (near, 0.5), (far, 0.25)], [(near, 0.75), (far, 0.125), (near, 0.125)]
    taken = fastest([slow, fast])
    assert taken == fast

    class Named:
        names = level_names(1)

        def name(self, place: Place) -> str:
            return "outside" if place.level is None else self.names[place.level]

    assert by_level(taken, Named()) == [  # type: ignore[arg-type]  # as far as it is asked
        {"level": "encoder 1", "operator": POINTWISE, "seconds": 0.875, "count": 2},
        {"level": "outside", "operator": LAYOUT, "seconds": 0.125, "count": 1},
    ]
