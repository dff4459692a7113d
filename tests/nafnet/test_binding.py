"""A claim of parity is about one graph: what somebody changes afterwards is not verified any more, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from nafnet.errors import ModelError
from nafnet.kept_tile import answer_of
from nafnet.onnxfile import embed_spec, inspect_onnx
from nafnet.onnxgraph import graph_sha256
from nafnet.parity import Parity
from nafnet.pretrained import bundled_model
from nafnet.spec import ModelSpec
from tests.platforms import needs_torch

Change = Callable[[Path, Path], None]
CHANGED = "changed since it was compared with PyTorch"


def claim(path: Path, **fields: object) -> Path:
    """The bundled denoiser with a claim of parity that names its graph."""
    model = onnx.load(bundled_model(".onnx"))
    parity = Parity(psnr=120.0, max_abs=1e-6, cases=5, passed=True)
    spec = inspect_onnx(bundled_model(".onnx")).replace(
        parity=parity, verified=True, answer=answer_of(np.zeros((1, 3, 48, 48), np.float32))
    )
    embed_spec(model, spec.replace(**fields))
    onnx.save(model, path)
    return path


@pytest.fixture
def verified(tmp_path: Path) -> Path:
    return claim(tmp_path / "verified.onnx")


def loaded_and(edit: Callable[[onnx.ModelProto], onnx.ModelProto | None]) -> Change:
    """A change of the model in memory, which may give another."""

    def change(source: Path, target: Path) -> None:
        model = onnx.load(source)
        onnx.save(edit(model) or model, target)

    return change


def edited_bias(model: onnx.ModelProto) -> None:
    tensor = next(each for each in model.graph.initializer if each.name == "module.intro.bias")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.2), tensor.name))


def edited_node(model: onnx.ModelProto) -> None:
    node = next(each for each in model.graph.node if each.op_type == "DepthToSpace")
    (mode,) = (each for each in node.attribute if each.name == "mode")
    mode.s = b"DCR" if mode.s == b"CRD" else b"CRD"


def quantised(source: Path, target: Path) -> None:
    """Of the weights alone, so that the operators are standard ones."""
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv"])


def optimised(level: onnxruntime.GraphOptimizationLevel) -> Change:
    def change(source: Path, target: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(target)
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return change


def converted(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.version_converter.convert_version(model, 21)


BASIC = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC


@pytest.mark.parametrize(
    "change",
    [quantised, optimised(BASIC), loaded_and(edited_bias), loaded_and(edited_node), loaded_and(converted)],
    ids=["quantize_dynamic", "optimised by ONNX Runtime", "a bias", "an attribute", "another opset"],
)
def test_a_changed_graph_claims_nothing(change: Change, verified: Path, tmp_path: Path) -> None:
    change(verified, tmp_path / "changed.onnx")
    spec = inspect_onnx(tmp_path / "changed.onnx")
    assert (spec.changed, spec.verified, spec.parity, spec.answer) == (True, False, None, None)
    assert spec.standing == CHANGED
    before = inspect_onnx(verified)
    assert before.standing == "checked against PyTorch"
    assert (spec.architecture, spec.task, spec.weights_sha256) == (
        before.architecture, before.task, before.weights_sha256
    ), "what no change of the graph makes untrue is kept"  # fmt: skip


def test_a_quantised_graph_is_judged_by_what_it_has_become(verified: Path, tmp_path: Path) -> None:
    quantised(verified, tmp_path / "changed.onnx")
    assert (inspect_onnx(verified).precision, inspect_onnx(tmp_path / "changed.onnx").precision) == ("fp32", "int8")


def test_operators_of_an_optimisers_own_are_refused(verified: Path, tmp_path: Path) -> None:
    optimised(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)(verified, tmp_path / "changed.onnx")
    with pytest.raises(ModelError, match=r"operators of .*microsoft.*; expected standard ONNX alone"):
        inspect_onnx(tmp_path / "changed.onnx")


def annotated(model: onnx.ModelProto) -> None:
    """Everything that tells of a graph and computes nothing."""
    model.producer_name, model.doc_string, model.graph.doc_string = "somebody", "for you", "a graph"
    model.metadata_props.add(key="author", value="somebody")
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = "told"
        item.metadata_props.add(key="seen", value="yes")


@pytest.mark.parametrize(
    "edit", [onnx.shape_inference.infer_shapes, annotated, onnx.checker.check_model], ids=["sizes", "notes", "anew"]
)
def test_what_only_tells_of_a_graph_changes_nothing(
    edit: Callable[[onnx.ModelProto], onnx.ModelProto | None], verified: Path, tmp_path: Path
) -> None:
    loaded_and(edit)(verified, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() != verified.read_bytes() or edit is onnx.checker.check_model
    spec = inspect_onnx(tmp_path / "again.onnx")
    assert (spec, spec.standing) == (inspect_onnx(verified), "checked against PyTorch")


def test_every_part_of_a_graph_is_bound(verified: Path) -> None:
    """An initialiser, an attribute, a name between nodes, an input's size, the opset: each is another graph."""
    seen = {graph_sha256(onnx.load(verified))}
    edits: list[Callable[[onnx.ModelProto], object]] = [
        edited_bias,
        edited_node,
        lambda model: model.graph.node.pop(),
        lambda model: setattr(model.graph.node[5], "name", "other"),
        lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 4),
        lambda model: setattr(model.graph.output[0].type.tensor_type, "elem_type", onnx.TensorProto.FLOAT16),
        lambda model: setattr(model.opset_import[0], "version", 21),
        lambda model: model.graph.initializer.reverse(),
    ]
    for edit in edits:
        model = onnx.load(verified)
        edit(model)
        seen.add(graph_sha256(model))
    assert len(seen) == len(edits) + 1


def nafnet_run(path: Path, photograph: NDArray[np.uint8], folder: Path) -> str:
    from PIL import Image

    from nafnet.runtime.cli import main
    from tests.processes import in_this_process

    Image.fromarray(photograph[:48, :48]).save(folder / "a.png")
    done = in_this_process(main, "nafnet-run", "--model", path, folder / "a.png", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def bench_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What nafnet-bench says of an export before it measures."""
    from nafnet.benchmarks.command import say_standing

    say_standing([path_model(path)], print)
    return capsys.readouterr().out


def path_model(path: Path) -> object:
    from nafnet.runtime.backends.model import Model

    return Model(path=path, spec=inspect_onnx(path))


def inspected(path: Path) -> dict[str, str]:
    from nafnet.export.inspection import inspect

    return dict(inspect(path))


@pytest.mark.parametrize(
    ("fields", "edit", "in_run", "in_inspect", "in_bench"),
    [
        ({}, None, "fp32, checked against PyTorch", "gives what PyTorch gives (120.0 dB", ""),
        ({}, edited_bias, f"fp32, {CHANGED}", f"{CHANGED}: nothing is known of it; export it anew", f"{CHANGED}\n"),
        (
            {"parity": None, "verified": False, "answer": None}, None, "fp32, not verified against PyTorch",
            "not verified: exported with --no-verify", "not verified against PyTorch\n",
        ),
        (
            {"parity": Parity(psnr=30.0, max_abs=0.1, cases=5, passed=False), "verified": False, "answer": None}, None,
            "fp32, not verified against PyTorch", "refused (30.0 dB", "not verified against PyTorch\n",
        ),
    ],
    ids=["verified", "changed", "not verified", "refused"],
)  # fmt: skip
@needs_torch
def test_every_command_says_what_is_known(
    fields: dict[str, object], edit: Callable[[onnx.ModelProto], None] | None, in_run: str, in_inspect: str,
    in_bench: str, photograph: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = claim(tmp_path / "x.onnx", **({"answer": None} | fields))
    if edit:
        loaded_and(edit)(path, path)
    assert in_inspect in inspected(path)["parity"]
    assert bench_lines(path, capsys) == (in_bench and f"x.onnx: {in_bench}")
    assert f"x.onnx (denoise, {in_run})" in nafnet_run(path, photograph, tmp_path)


@needs_torch
def test_a_claim_that_names_no_graph_is_none(tmp_path: Path) -> None:
    """As files of earlier versions have it."""
    model = onnx.load(claim(tmp_path / "x.onnx"))
    spec = inspect_onnx(tmp_path / "x.onnx").replace(graph_sha256=None)
    (entry,) = (each for each in model.metadata_props if each.key == "nafnet.spec")
    entry.value = ModelSpec.to_json(spec)
    onnx.save(model, tmp_path / "x.onnx")
    assert inspect_onnx(tmp_path / "x.onnx").standing == "not verified: its claim names no graph"
    assert "the claim names no graph, so it is not verified" in inspected(tmp_path / "x.onnx")["parity"]
