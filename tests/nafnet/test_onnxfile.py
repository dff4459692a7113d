"""ONNX files: what is unsafe or no image model is refused before any inference library sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nafnet.errors import ModelError, SpecError
from nafnet.onnxfile import embed_spec, inspect_onnx
from nafnet.pretrained import bundled_model
from nafnet.spec import METADATA_KEY, ModelSpec

MakeOnnx = Callable[..., Path]


def test_foreign_file_gives_channels_and_multiple(make_onnx: MakeOnnx) -> None:
    weights = [
        numpy_helper.from_array(np.zeros((4, 3, 2, 2), np.float32), "down"),
        numpy_helper.from_array(np.zeros((4, 3, 2, 2), np.float32), "up"),
    ]
    path = make_onnx(
        helper.make_node("Conv", ["image", "down"], ["half"], strides=[2, 2]),
        helper.make_node("ConvTranspose", ["half", "up"], ["restored"], strides=[2, 2]),
        initializer=weights,
    )
    spec = inspect_onnx(path)
    assert (spec.channels, spec.multiple, spec.parity, spec.architecture) == (3, 2, None, None)


def test_the_bundled_graph_without_its_spec_is_known_by_its_convolutions(tmp_path: Path) -> None:
    """Its last convolution has stride 2 as well, and what it gives is put together again at once."""
    model = onnx.load(bundled_model(".onnx"))
    expected = inspect_onnx(bundled_model(".onnx")).multiple
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "stripped.onnx")
    assert inspect_onnx(tmp_path / "stripped.onnx").multiple == expected == 16


def test_foreign_file_of_a_fixed_square_runs_in_tiles_of_it(make_onnx: MakeOnnx) -> None:
    spec = inspect_onnx(make_onnx(shape=("batch", 3, 64, 64)))
    assert (spec.tile, spec.multiple, spec.fixed_shape) == (64, 64, True)


def weighted(kind: int, stored: int | None) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """A convolution in a type, whose weights may be stored in another."""
    array = np.zeros((3, 3, 1, 1), helper.tensor_dtype_to_np_dtype(stored or kind))
    cast = [helper.make_node("Cast", ["weight"], ["cast"], to=kind)] if stored else []
    turned = helper.make_node("Transpose", ["cast" if stored else "weight"], ["turned"], perm=[1, 0, 2, 3])
    convolution = helper.make_node("Conv", ["image", "turned"], ["restored"])
    return [*cast, turned, convolution], [numpy_helper.from_array(array, "weight")]


@pytest.mark.parametrize(
    ("kind", "stored", "precision"),
    [
        (TensorProto.FLOAT, None, "fp32"),
        (TensorProto.FLOAT16, None, "fp16"),
        (TensorProto.FLOAT, TensorProto.FLOAT16, "fp32"),
        (TensorProto.FLOAT16, TensorProto.FLOAT, "fp16"),
    ],
    ids=["fp32", "fp16", "stored-in-half", "stored-in-single"],
)
def test_foreign_file_tells_what_it_computes_in(
    make_onnx: MakeOnnx, kind: int, stored: int | None, precision: str
) -> None:
    nodes, held = weighted(kind, stored)
    spec = inspect_onnx(make_onnx(*nodes, kind=kind, initializer=held))
    assert (spec.precision, spec.doubt("precision")) == (precision, "")


def test_foreign_file_in_8_bits_says_so(make_onnx: MakeOnnx) -> None:
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    weight = numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.int8), "weight")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["quantised"]),
        helper.make_node("DequantizeLinear", ["quantised", "scale", "zero"], ["back"]),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["wide"]),
        helper.make_node("Conv", ["back", "wide"], ["restored"]),
    ]
    held = [scale, weight, zero]
    assert inspect_onnx(make_onnx(*nodes, initializer=held)).precision == "int8"
    weights_alone = [nodes[2], helper.make_node("Conv", ["image", "wide"], ["restored"])]
    assert inspect_onnx(make_onnx(*weights_alone, initializer=held)).precision == "fp32"


def test_an_export_without_its_spec_is_known_by_its_types(tmp_path: Path) -> None:
    model = onnx.load(bundled_model(".onnx"))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "stripped.onnx")
    assert inspect_onnx(tmp_path / "stripped.onnx").precision == "fp32"


def test_what_a_foreign_file_does_not_tell_is_assumed(make_onnx: MakeOnnx) -> None:
    free = inspect_onnx(make_onnx())
    assert {"tile", "overlap", "train_patch", "task"} <= set(free.assumed)
    assert not {"channels", "multiple", "io", "precision"} & set(free.assumed)
    fixed = inspect_onnx(make_onnx(shape=("batch", 3, 64, 64)))
    assert not {"tile", "overlap"} & set(fixed.assumed)
    assert "train_patch" in fixed.assumed
    bytes_ = inspect_onnx(make_onnx(kind=TensorProto.UINT8, shape=("n", "h", "w", 3)))
    assert "precision" in bytes_.assumed, "it computes nothing, and 8 bits at the border say nothing of the inside"
    assert inspect_onnx(bundled_model(".onnx")).assumed == ()


@pytest.mark.parametrize(
    ("kind", "shape", "io"),
    [
        (TensorProto.FLOAT16, ("n", 3, "h", "w"), "float16"),
        (TensorProto.UINT8, ("n", "h", "w", 3), "uint8"),
    ],
)
def test_foreign_file_tells_what_it_takes(
    make_onnx: MakeOnnx, kind: int, shape: tuple[str | int, ...], io: str
) -> None:
    spec = inspect_onnx(make_onnx(kind=kind, shape=shape))
    assert (spec.io, spec.channels) == (io, 3)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec(channels=1), "the spec says 1 channel, the graph takes 3"),
        (ModelSpec(io="uint8"), "says uint8, the graph takes float32"),
        (ModelSpec(fixed_shape=True, multiple=256), "says the size is 256, in the graph it is free"),
    ],
)
def test_spec_of_another_graph_is_refused(identity_onnx: Path, spec: ModelSpec, reason: str) -> None:
    model = onnx.load(identity_onnx)
    embed_spec(model, spec)
    onnx.save(model, identity_onnx)
    with pytest.raises(ModelError, match=reason):
        inspect_onnx(identity_onnx)


def test_spec_is_embedded_once(identity_onnx: Path) -> None:
    model = onnx.load(identity_onnx)
    for tile in (64, 128):
        embed_spec(model, ModelSpec(tile=tile))
    onnx.save(model, identity_onnx)
    assert len(model.metadata_props) == 1
    assert inspect_onnx(identity_onnx).tile == 128


def test_unsafe_files_are_refused(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    foreign = make_onnx(helper.make_node("Evil", ["image"], ["restored"], domain="com.example"), name="foreign.onnx")
    with pytest.raises(ModelError, match=r"com\.example"):
        inspect_onnx(foreign)

    function = onnx.load(make_onnx())
    body = helper.make_node("Identity", ["x"], ["y"])
    function.functions.append(
        helper.make_function("local", "Twice", ["x"], ["y"], [body], [helper.make_opsetid("", 20)])
    )
    onnx.save(function, tmp_path / "function.onnx")
    with pytest.raises(ModelError, match="functions"):
        inspect_onnx(tmp_path / "function.onnx")

    outside = numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "shift")
    path = make_onnx(helper.make_node("Add", ["image", "shift"], ["restored"]), initializer=[outside])
    model = onnx.load(path)
    onnx.save(model, tmp_path / "outside.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    with pytest.raises(ModelError, match="other files"):
        inspect_onnx(tmp_path / "outside.onnx")


def test_graphs_that_lie_are_refused(make_onnx: MakeOnnx) -> None:
    """Each of them makes a reader allocate, follow or run something without end."""
    add = helper.make_node("Add", ["image", "shift"], ["restored"])
    claims = TensorProto(name="shift", dims=[1 << 20, 1 << 20], data_type=TensorProto.FLOAT, raw_data=b"\0" * 4)
    negative = TensorProto(name="shift", dims=[-4, -4], data_type=TensorProto.FLOAT, raw_data=b"\0" * 64)
    short = TensorProto(name="shift", dims=[1, 3, 1, 1], data_type=TensorProto.FLOAT, raw_data=b"\0" * 4)
    cyclic = [
        helper.make_node("Add", ["image", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["restored"]),
    ]
    twice = [helper.make_node("Relu", ["image"], ["restored"]), helper.make_node("Neg", ["image"], ["restored"])]
    body = helper.make_graph([], "body", [], [])
    loop = helper.make_node("Loop", ["", "", "image"], ["restored"], body=body)
    cases = {
        "claims": (make_onnx(add, initializer=[claims], name="claims.onnx"), "claims 1048576x1048576 values"),
        "negative": (make_onnx(add, initializer=[negative], name="negative.onnx"), "claims -4x-4"),
        "short": (make_onnx(add, initializer=[short], name="short.onnx"), "malformed"),
        "cyclic": (make_onnx(*cyclic, name="cyclic.onnx"), "malformed"),
        "twice": (make_onnx(*twice, name="twice.onnx"), "malformed"),
        "unknown": (make_onnx(helper.make_node("Nonsense", ["image"], ["restored"]), name="unknown.onnx"), "malformed"),
        "loop": (make_onnx(loop, name="loop.onnx"), "Loop"),
    }
    for path, reason in cases.values():
        with pytest.raises(ModelError, match=reason) as refusal:
            inspect_onnx(path)
        assert path.name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_other_models_are_refused(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    dims = ("batch", 3, "height", "width")
    cases = [
        (make_onnx(name="integers.onnx", kind=TensorProto.INT64), "INT64"),
        (make_onnx(name="flat.onnx", shape=("batch", 3, "height")), "3 dimensions"),
        (make_onnx(name="fixed.onnx", shape=("batch", 3, 64, 48)), "fixed at 64x48"),
        (make_onnx(name="colours.onnx", shape=dims, out_shape=("batch", 5, "height", "width")), "3 channels in and 5"),
    ]
    for name, content in (("garbage.onnx", b"\xff\xfe garbage"), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        cases.append((tmp_path / name, name))
    cases.append((tmp_path / "absent.onnx", "no such file"))

    odd_text = onnx.load(make_onnx(helper.make_node("Odd", ["image"], ["restored"], domain="zz"), name="text.onnx"))
    (tmp_path / "text.onnx").write_bytes(odd_text.SerializeToString().replace(b"zz", b"\xff\xfe"))
    cases.append((tmp_path / "text.onnx", "refused: operators of"))
    unknown = onnx.load(make_onnx(name="unknown.onnx"))
    unknown.graph.input[0].type.tensor_type.elem_type = 127
    (tmp_path / "unknown.onnx").write_bytes(unknown.SerializeToString())
    cases.append((tmp_path / "unknown.onnx", "type 127|malformed"))
    for path, reason in cases:
        with pytest.raises(ModelError, match=reason) as refusal:
            inspect_onnx(path)
        assert path.name in str(refusal.value)


def test_hidden_weights_and_expansions_are_refused(make_onnx: MakeOnnx) -> None:
    """A sparse attribute could name another file, and a shape of a few bytes could take all memory there is."""
    values = numpy_helper.from_array(np.ones(1, np.float32), "values")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "indices"), [1 << 36])
    hidden = helper.make_node("Constant", [], ["shift"], sparse_value=sparse)
    add = helper.make_node("Add", ["image", "shift"], ["restored"])
    with pytest.raises(ModelError, match="sparse"):
        inspect_onnx(make_onnx(hidden, add, name="sparse.onnx"))
    size = numpy_helper.from_array(np.array([1, 1, 1 << 18, 1 << 18]), "size")
    of_shape = helper.make_node("ConstantOfShape", ["size"], ["shift"])
    one = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one")
    expand = helper.make_node("Expand", ["one", "size"], ["shift"])
    constant = helper.make_node("Constant", [], ["size"], value=size)
    for index, nodes in enumerate(((of_shape,), (expand,), (constant, expand))):
        initializer = [one] if constant in nodes else [one, size]
        with pytest.raises(ModelError, match="too large"):
            inspect_onnx(make_onnx(*nodes, add, name=f"bomb-{index}.onnx", initializer=initializer))


@pytest.mark.parametrize(
    "change",
    [
        {"parity": {"psnr": "x", "max_abs": 0.0, "cases": 1, "passed": True}},
        {"parity": {"psnr": 1.0, "max_abs": 0.0, "cases": 1, "passed": True, "ran_on": [1]}},
        {"task": ["x"]},
        {"norm": {"a": 1}},
        {"verified": "no"},
        {"colour_order": 3},
        {"precision": "int8"},
        {"architecture": {"width": "8"}},
        {"engine": {"flavour": 1}},
        {"input_range": [0]},
    ],
)
def test_spec_of_wrong_types_is_one_line(change: dict[str, object], identity_onnx: Path) -> None:
    model = onnx.load(identity_onnx)
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps({**json.loads(ModelSpec().to_json()), **change}))
    onnx.save(model, identity_onnx)
    with pytest.raises((ModelError, SpecError), match=r"identity\.onnx") as refusal:
        inspect_onnx(identity_onnx)
    assert "\n" not in str(refusal.value)


def test_spec_nested_without_end_is_one_line(identity_onnx: Path) -> None:
    model = onnx.load(identity_onnx)
    model.metadata_props.add(key=METADATA_KEY, value="[" * 200_000)
    onnx.save(model, identity_onnx)
    with pytest.raises(SpecError, match="not JSON"):
        inspect_onnx(identity_onnx)
