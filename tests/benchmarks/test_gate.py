"""Who is compared, on which inputs, by which gate, and what the work and the yardsticks are that rate it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nafnet.benchmarks.loading import open_one
from nafnet.benchmarks.measure.case import Opened, Shape, check, inputs, run_case
from nafnet.benchmarks.measure.roofline import Work, count, yardsticks
from nafnet.benchmarks.rows.candidate import Absent, Candidate
from nafnet.benchmarks.rows.candidates import Wanted, asked_for, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.errors import BackendError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export
from nafnet.runtime.backends.model import Model
from nafnet.spec import WireType

SHAPE = Shape(batch=1, channels=3, tile=64)


def exported(exports: Exports, path: Path, wire: WireType = "float32") -> Model:
    made = export(exports.checkpoint, ExportOptions(io=wire, norm="rms", verify=False))
    onnx.save(made.model, path)
    return Model(path=path, spec=made.spec)


def compared(exports: Exports, wanted: Wanted) -> list[Opened]:
    found = [row for row in rows(exports, wanted) if isinstance(row, Candidate)]
    return [Opened(candidate=each, backend=each.open(1)) for each in found]


def test_inputs_are_images() -> None:
    for channels in (1, 3):
        tiles = inputs(Shape(batch=2, channels=channels, tile=64))
        assert "astronaut" in tiles
        for tile in tiles.values():
            assert tile.dtype == np.float32
            assert tile.shape == (2, channels, 64, 64)
            assert 0 <= tile.min() <= tile.max() <= 1


@pytest.mark.parametrize("wire", ["uint8", "float16"])
def test_an_export_of_another_border_is_judged_by_what_crosses_it(
    wire: WireType, exports: Exports, tmp_path: Path
) -> None:
    artefact = exported(exports, tmp_path / "wire.onnx", wire)
    opened = compared(exports, Wanted(backends=("onnxruntime",), artefacts=(artefact,)))
    right, spoilt = check(opened, SHAPE, inputs(SHAPE)), opened[-1].backend
    assert [row["refused"] for row in right] == [None] * len(opened)
    assert right[-1]["name"] == "onnxruntime wire.onnx"
    assert spoilt is not None
    run = spoilt._run

    def wrong(batch: Any) -> Any:
        restored = run(batch).copy()
        value, white = ((0, 40, 7, 1), 255) if wire == "uint8" else ((0, 1, 40, 7), 1)
        step = white / 255  # of 8 bits
        restored[value] = float(restored[value]) + (-step if restored[value] > white / 2 else step)
        return restored

    spoilt._run = wrong  # type: ignore[method-assign]
    refused = [row["refused"] for row in check(opened, SHAPE, inputs(SHAPE))]
    assert refused[:-1] == [None] * (len(opened) - 1)
    assert "not equal to PyTorch" in str(refused[-1])


def test_half_on_a_cpu_has_no_yardstick_and_is_rated_by_none(exports: Exports) -> None:
    assert list(yardsticks("cpu", ["bf16", "fp16", "fp32"])) == ["matrix product fp32", "matrix product bf16", "copy"]
    opened = compared(exports, Wanted(backends=("onnxruntime",), precisions=("fp16",)))
    work = Work(layers=(), other_flops=0, other_bytes=0)
    case = run_case(opened, SHAPE, work, seconds=0, device="cpu")
    assert [row["precision"] for row in case["rows"]] == ["fp32", "fp16"]
    assert ["share_of_matrix_rate" in row for row in case["rows"]] == [True, False]
    assert set(case["yardsticks"]) == {"matrix product fp32", "copy"}


@pytest.mark.parametrize("operator", ["Conv", "MatMul", "Gemm"])
def test_work_of_unknown_size_is_not_counted_as_none(operator: str, tmp_path: Path) -> None:
    """A size that hangs on the input's values: nobody knows it before the network runs."""
    float32, make = onnx.TensorProto.FLOAT, onnx.helper
    weights = onnx.numpy_helper.from_array(np.ones((3, 3, 1, 1) if operator == "Conv" else (3, 3), np.float32), "w")
    nodes = [
        make.make_node("NonZero", ["x"], ["places"]),  # int64[4,found]
        make.make_node("Cast", ["places"], ["floats"], to=float32),
        make.make_node("Unsqueeze", ["floats", "axes"], ["image"])
        if operator == "Conv"
        else make.make_node("Transpose", ["floats"], ["image"]),
        make.make_node(operator, ["image", "w"], ["y"], name="layer"),
    ]
    axes = onnx.numpy_helper.from_array(np.array([0, 1]), "axes")
    graph = make.make_graph(
        nodes, "unknown", [make.make_tensor_value_info("x", float32, ("n", 3, "h", "w"))],
        [make.make_tensor_value_info("y", float32, None)], [weights, axes],
    )  # fmt: skip
    onnx.save(make.make_model(graph), tmp_path / "unknown.onnx")
    with pytest.raises(BackendError, match=f"unknown.onnx: {operator} 'layer': of the size of 'image'"):
        count(tmp_path / "unknown.onnx", SHAPE.sizes)


def test_a_row_travels_to_another_process(exports: Exports) -> None:
    model = Model(path=exports.checkpoint.source, spec=exports.checkpoint.spec)
    row = Candidate(
        name="a", backend="tensorrt", target="m:c", precision="tf32", model=model, device="cuda:0", shape=(4, 64)
    )
    assert Candidate.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_a_backend_that_dies_in_the_librarys_own_words_ends_no_other(candidates: list[Candidate]) -> None:
    broken = dataclasses.replace(candidates[0], target="nafnet.benchmarks.rows.torch_forms:NoSuchForm")
    with contextlib.ExitStack() as stack:
        refused, right = (open_one(each, 1, stack) for each in (broken, candidates[-1]))
    assert refused.backend is None
    assert str(refused.refused).startswith("cannot be loaded (AttributeError: ")
    assert right.refused is None


def absent(exports: Exports, wanted: Wanted) -> dict[str, str]:
    return {row.name: row.reason for row in rows(exports, wanted) if isinstance(row, Absent)}


def test_a_precision_without_a_row_says_so(exports: Exports) -> None:
    assert "give an int8 export with --model" in absent(exports, Wanted(precisions=("int8",)))["int8"]
    wanted = Wanted(backends=("onnxruntime", "torch"), precisions=("fp32", "int8"))
    found = absent(exports, wanted)
    assert set(found) == {"onnxruntime int8", "torch int8"}
    assert "give an int8 export with --model" in found["onnxruntime int8"]
    assert found["torch int8"] == "is not compared in int8"


def test_exports_of_one_name_are_told_apart(exports: Exports, tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x.onnx", tmp_path / "b" / "x.onnx", tmp_path / "b" / "y.onnx"]
    given = [Model(path=path, spec=exports.checkpoint.spec) for path in (*paths, paths[1])]
    found = rows(exports, Wanted(backends=("onnxruntime",), precisions=("fp16",), artefacts=given))
    names = [row.name for row in found if isinstance(row, Candidate) and ".onnx" in row.name]
    assert names == [f"onnxruntime {end}" for end in ("a/x.onnx", "b/x.onnx", "y.onnx", "b/x.onnx (2)")]


def test_an_export_that_nothing_here_runs_says_so(exports: Exports, tmp_path: Path) -> None:
    given = [Model(path=tmp_path / "x.onnx", spec=exports.checkpoint.spec)]
    found = absent(exports, Wanted(backends=("torch",), artefacts=given))
    assert found == {"x.onnx": "no backend that was asked for and is here runs it"}


def test_what_is_gone_counts_only_where_it_was_asked_for() -> None:
    everything, half = Wanted(), Wanted(backends=("openvino",), precisions=("fp16",))
    assert asked_for(everything, "torch compile", "torch-compile", "fp32")
    assert not asked_for(everything, "openvino ours fp16", "openvino", "fp16")
    assert asked_for(half, "openvino ours fp16", "openvino", "fp16")
    assert not asked_for(half, "openvino ours", "openvino", "fp32")
    assert not asked_for(half, "onnxruntime ours fp16", "onnxruntime", "fp16")
    assert not asked_for(everything, "openvino b/x.onnx (2)", "openvino", "fp32")
