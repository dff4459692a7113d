"""What runs a graph for the gate: every backend that is installed, each judged by what it computes in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nafnet.export.gate import executors as module
from nafnet.export.gate.executors import executors, strictest
from nafnet.parity import Precision
from nafnet.spec import ModelSpec
from nafnet.system.processor import features

MakeOnnx = Callable[..., Path]
KINDS: dict[Precision, int] = {
    "fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16, "int8": TensorProto.FLOAT16,
}  # fmt: skip
Rows = list[tuple[str, str, bool]]
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture
def dimming(make_onnx: MakeOnnx) -> Callable[[Precision], tuple[bytes, ModelSpec]]:
    """A graph that halves the light, computed in a type, and its spec."""

    def make(precision: Precision) -> tuple[bytes, ModelSpec]:
        kind = KINDS[precision]
        # Its bytes, as files of PyTorch's have them: OpenVINO misreads what is in `int32_data`.
        factor = numpy_helper.from_array(np.full(1, 0.5, helper.tensor_dtype_to_np_dtype(kind)), "factor")
        path = make_onnx(
            helper.make_node("Cast", ["image"], ["there"], to=kind),
            helper.make_node("Mul", ["there", "factor"], ["less"]),
            helper.make_node("Cast", ["less"], ["restored"], to=TensorProto.FLOAT),
            initializer=[factor],
        )
        return path.read_bytes(), ModelSpec(precision=precision)

    return make


def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name == "openvino" else honest(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)

    def unusable() -> None:
        raise AssertionError("OpenVINO was asked, and is not installed")

    for name in ("openvino_core", "openvino_version"):
        monkeypatch.setattr(module, name, unusable)


def rows(model: bytes, spec: ModelSpec) -> Rows:
    return [(each.name, each.precision, each.decides) for each in executors(model, spec)]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", [("onnxruntime", "fp32", True)]),
        ("fp16", [("onnxruntime", "fp16", True), ("fp16 storage", "fp16", True)]),
        ("bf16", [("bf16 storage", "bf16", True)]),
        ("int8", [("onnxruntime", "int8", True), ("fp16 storage", "int8", True)]),
    ],
)
def test_without_openvino_there_is_onnx_runtime(
    precision: Precision, expected: Rows, dimming: Callable[..., tuple[bytes, ModelSpec]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Which has no bfloat16 on a CPU, so that this runs with its values as they would be stored."""
    without_openvino(monkeypatch)
    assert rows(*dimming(precision)) == expected


@pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed")
@pytest.mark.parametrize(
    ("precision", "expected", "judged", "decides"),
    [
        ("fp32", ["onnxruntime", "openvino"], "bf16", False),
        ("fp16", ["onnxruntime", "openvino", "fp16 storage"], "bf16", False),
        ("bf16", ["openvino", "bf16 storage"], "bf16", True),
        ("int8", ["onnxruntime", "openvino", "fp16 storage"], "int8", True),
    ],
)
def test_openvino_is_there_twice_where_the_cpu_has_bfloat16(
    precision: Precision, expected: list[str], judged: str, decides: bool,
    dimming: Callable[..., tuple[bytes, ModelSpec]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In bfloat16 it is told, and no reason to refuse a graph that computes in more."""
    model, spec = dimming(precision)
    monkeypatch.setattr(module, "no_bfloat16", lambda: "this CPU has no bfloat16")
    assert rows(model, spec) == [(name, precision, True) for name in expected]
    monkeypatch.setattr(module, "no_bfloat16", lambda: None)
    monkeypatch.setattr(module, "in_openvino", lambda *_: lambda batch: batch)  # this CPU may have none
    found = rows(model, spec)
    assert ("openvino-bf16", judged, decides) in found
    assert [row for row in found if row[0] != "openvino-bf16"] == [(name, precision, True) for name in expected]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_each_runs_the_graph_and_says_what_it_is(
    precision: Precision, dimming: Callable[..., tuple[bytes, ModelSpec]]
) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 32)).astype(np.float32) / 256
    found = executors(*dimming(precision))
    for each in found:
        np.testing.assert_array_equal(each.run(batch), batch / 2, err_msg=each.name)
        library = "openvino" if each.name.startswith("openvino") else "onnxruntime"
        assert version(library).startswith(each.version), each.name
        assert each.features == (() if each.name.endswith("storage") else features())
    assert strictest(found) is [each for each in found if each.decides][-1]


def test_what_is_stored_in_half_is_rounded_there(make_onnx: MakeOnnx) -> None:
    """300 x 300 is infinite in half, which ONNX Runtime on a CPU hides."""
    constants = {"large": np.full(1, 300, np.float16), "small": np.full(1, 1 / 300, np.float16)}
    path = make_onnx(
        helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "large"], ["more"]),
        helper.make_node("Mul", ["more", "large"], ["most"]),
        helper.make_node("Mul", ["most", "small"], ["less"]),
        helper.make_node("Cast", ["less"], ["restored"], to=TensorProto.FLOAT),
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    found = executors(path.read_bytes(), ModelSpec(precision="fp16"))
    white = np.ones((1, 3, 16, 16), np.float32)
    assert {each.name: bool(np.isinf(each.run(white)).all()) for each in found}["fp16 storage"]


def test_the_one_that_rounds_most_is_the_strictest_of_those_that_decide(
    dimming: Callable[..., tuple[bytes, ModelSpec]],
) -> None:
    assert strictest(executors(*dimming("fp16"))).name == "fp16 storage"
    assert strictest(executors(*dimming("fp32"))).name == ("openvino" if HAS_OPENVINO else "onnxruntime")
