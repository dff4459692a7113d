"""Read an ONNX file's spec, and refuse what is unsafe or not an image-to-image model; write the spec into one.

Everything that loads an ONNX file goes through `inspect_onnx` first, before any inference library sees it.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from nafnet.errors import ModelError, SpecError
from nafnet.filekind import first_bytes, refuse_other
from nafnet.onnxgraph import graph_sha256, graphs, multiple_of, precision_of, tensors
from nafnet.parity import Precision
from nafnet.spec import METADATA_KEY, UNTOLD, ModelSpec, WireType
from nafnet.words import counted

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
# They can run for ever, and no image-to-image network needs one.
LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
# They make a tensor of the size that a constant names.
_EXPANDING = frozenset({"ConstantOfShape", "Expand", "Tile"})
MOST_EXPANDED = 2**28
_WIRES: dict[int, WireType] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.UINT8: "uint8",
}


_HALVES = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
# What the weights of each precision are stored as; none: in fp32, so not in half.
_STORED: dict[Precision, set[int]] = {
    "fp32": set(),
    "fp16": {onnx.TensorProto.FLOAT16},
    "bf16": {onnx.TensorProto.BFLOAT16},
    "int8": {onnx.TensorProto.INT8, onnx.TensorProto.UINT8},
}


@dataclasses.dataclass(frozen=True)
class _Border:
    """What a graph takes and gives."""

    wire: WireType
    channels: int
    side: int | None
    """H and W where they are fixed."""


def inspect_onnx(path: Path) -> ModelSpec:
    """The spec of an ONNX file; for a foreign file, one with what its graph tells: channels, multiple, fixed size,
    precision. What it does not tell is in `assumed`.

    Raises:
        ModelError: missing, unreadable, unsafe (external data, foreign operators, local functions, loops), malformed
            (cyclic, or initialisers of another size than they claim), or without one image in and one out: float32
            or float16 [N,C,H,W], or uint8[N,H,W,C], square where the size is fixed.
    """
    model = read_onnx(path)
    border = _border(path, model.graph)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            try:
                return _bound(_checked(path, ModelSpec.from_json(entry.value), border, model.graph), model)
            except SpecError as error:
                raise SpecError(f"{path}: {error}") from error
    precision = precision_of(model.graph, border.wire)
    spec = ModelSpec(
        channels=border.channels, multiple=multiple_of(model.graph), io=border.wire, precision=precision or "fp32",
        exported_by=str(model.producer_name) or None, assumed=(*UNTOLD, *(() if precision else ("precision",))),
    )  # fmt: skip
    if border.side is None:
        return spec
    overlap = min(spec.overlap, border.side // 4)
    return spec.replace(tile=border.side, multiple=border.side, overlap=overlap, fixed_shape=True)


def read_onnx(path: Path) -> onnx.ModelProto:
    """An ONNX file that is safe to hand to an inference library.

    Raises:
        ModelError: missing, unreadable, unsafe or malformed.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected an ONNX model")
    refuse_other(path, "ONNX model", ModelError)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(
            f"{path}: damaged, cut short, or no ONNX model at all ({first_bytes(path)}); export it anew, or download "
            "or copy it again"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path}: not an ONNX model: it has no graph")
    _refuse_unsafe(path, model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise ModelError(f"{path}: refused: malformed graph ({reason})") from error
    return model


def _checked(path: Path, spec: ModelSpec, border: _Border, graph: onnx.GraphProto) -> ModelSpec:
    """The spec, once it is known to speak of this graph."""
    if spec.channels != border.channels:
        raise ModelError(
            f"{path}: the spec says {counted(spec.channels, 'channel')}, the graph takes {border.channels}"
        )
    held = {tensor.data_type for tensor in tensors(graph)}
    needed = _STORED[spec.precision]
    if (needed and not needed & held) or (not needed and held & _HALVES):
        raise ModelError(f"{path}: the spec says {spec.precision}, the weights are of another type")
    if spec.engine is not None:
        raise ModelError(f"{path}: the spec says it is an engine of {spec.engine.flavour}; expected that of a graph")
    if spec.io != border.wire:
        raise ModelError(f"{path}: the spec says {spec.io}, the graph takes {border.wire}")
    if border.side != (spec.tile if spec.fixed_shape else None):
        claimed = spec.tile if spec.fixed_shape else "free"
        raise ModelError(f"{path}: the spec says the size is {claimed}, in the graph it is {border.side or 'free'}")
    return spec


def _bound(spec: ModelSpec, model: onnx.ModelProto) -> ModelSpec:
    """The spec, which of another graph than its own claims nothing any more."""
    if spec.graph_sha256 in (None, graph_sha256(model)):
        return spec
    precision = precision_of(model.graph, spec.io) or spec.precision
    return spec.replace(changed=True, verified=False, parity=None, answer=None, precision=precision)


def embed_spec(model: onnx.ModelProto, spec: ModelSpec) -> ModelSpec:
    """Write `spec` into the model's metadata, in the place of any that was there; returns it, bound to the graph."""
    spec = spec.replace(graph_sha256=graph_sha256(model))
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    for key, value in [*kept, (METADATA_KEY, spec.to_json())]:
        model.metadata_props.add(key=key, value=value)
    model.doc_string = _documentation(spec)
    return spec


def _documentation(spec: ModelSpec) -> str:
    """What whoever deploys the file elsewhere must know, for programs that show it."""
    layout = "uint8[N,H,W,C], 0 to 255" if spec.io == "uint8" else f"{spec.io}[N,C,H,W], 0 to 1"
    sizes = "of any size" if spec.multiple == 1 else f"multiples of {spec.multiple}"
    sizes = f"{spec.tile} each" if spec.fixed_shape else sizes
    parts = [f"Image restoration ({spec.task}). Input and output: {layout}, {spec.colour_order}; H and W {sizes}."]
    if spec.precision == "int8":
        parts.append(
            "int8: in ONNX Runtime switch the optimiser WeightBiasQuantization off (disabled_optimizers), which costs "
            "accuracy; weights are of 7 bits, so that no processor's sums saturate."
        )
    return " ".join(parts)


def _refuse_unsafe(path: Path, model: onnx.ModelProto) -> None:
    if model.functions:
        raise ModelError(f"{path}: refused: it defines functions of its own; export it anew as a plain graph")
    # Text that is not UTF-8 comes as bytes.
    domains = {str(node.domain) for graph in graphs(model.graph) for node in graph.node} - STANDARD_DOMAINS
    if domains:
        raise ModelError(f"{path}: refused: operators of {', '.join(sorted(domains))}; expected standard ONNX alone")
    loops = {str(node.op_type) for graph in graphs(model.graph) for node in graph.node} & LOOPS
    if loops:
        raise ModelError(f"{path}: refused: it loops ({', '.join(sorted(loops))}); expected a plain graph")
    if any(part.sparse_initializer for part in graphs(model.graph)) or _has_sparse_attributes(model.graph):
        raise ModelError(f"{path}: refused: sparse tensors; expected dense ones")
    _refuse_expanding(path, model.graph)
    for tensor in tensors(model.graph):
        if tensor.external_data or tensor.data_location:
            raise ModelError(f"{path}: refused: weights are in other files; expected one self-contained file")
        _refuse_false_size(path, tensor)


def _has_sparse_attributes(graph: onnx.GraphProto) -> bool:
    attributes = (entry for part in graphs(graph) for node in part.node for entry in node.attribute)
    return any(entry.HasField("sparse_tensor") or entry.sparse_tensors for entry in attributes)


def _refuse_expanding(path: Path, graph: onnx.GraphProto) -> None:
    """A few bytes that name a shape make a reader, which folds constants, allocate all of it."""
    for part in graphs(graph):
        shapes = {tensor.name: tensor for tensor in part.initializer}
        for node in part.node:
            for entry in node.attribute:
                if node.op_type == "Constant" and node.output and entry.HasField("t"):
                    shapes[node.output[0]] = entry.t
        for node in part.node:
            if node.op_type not in _EXPANDING:
                continue
            for name in node.input:
                tensor = shapes.get(name)
                if tensor is None or tensor.data_type != onnx.TensorProto.INT64 or math.prod(tensor.dims) > 16:
                    continue
                if math.prod(map(abs, numpy_helper.to_array(tensor).ravel().tolist())) > MOST_EXPANDED:
                    raise ModelError(f"{path}: refused: {node.op_type} makes a tensor too large for any image model")


def _refuse_false_size(path: Path, tensor: onnx.TensorProto) -> None:
    """An initialiser that claims more than the file holds makes a reader allocate what it claims."""
    claimed = math.prod(tensor.dims)
    packed = len(tensor.raw_data) or 4 * len(tensor.int32_data or tensor.float_data)
    packed = packed or 8 * len(tensor.int64_data or tensor.double_data or tensor.uint64_data)
    packed = packed or 8 * len(tensor.string_data)
    # Eight values to a byte are the fewest bytes that any type of ONNX takes.
    if any(size < 0 for size in tensor.dims) or claimed > 8 * packed:
        shape = "x".join(map(str, tensor.dims))
        raise ModelError(f"{path}: refused: initialiser {tensor.name!r} claims {shape} values in {packed} bytes")


def _border(path: Path, graph: onnx.GraphProto) -> _Border:
    """What goes in, once it and the one output are found to be images of one kind."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        found = f"{counted(len(inputs), 'input')} and {counted(len(graph.output), 'output')}"
        raise ModelError(f"{path}: {found}; expected one image in and out")
    borders = []
    for value in (inputs[0], graph.output[0]):
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]  # 0 where dynamic
        wire = _WIRES.get(tensor.elem_type)
        if wire is None or len(dims) != 4:
            known = tensor.elem_type in onnx.TensorProto.DataType.values()
            kind = onnx.TensorProto.DataType.Name(tensor.elem_type) if known else f"type {tensor.elem_type}"
            raise ModelError(
                f"{path}: {value.name} is {kind} with {len(dims)} dimensions; expected FLOAT or FLOAT16 [N,C,H,W], "
                "or UINT8 [N,H,W,C]"
            )
        borders.append((wire, *((dims[3], dims[1], dims[2]) if wire == "uint8" else dims[1:])))
    (wire, channels, height, width), given = borders
    if wire != given[0]:
        raise ModelError(f"{path}: {wire} in and {given[0]} out; expected the same type")
    if height < 0 or width < 0:
        raise ModelError(f"{path}: height and width are {height}x{width}; expected sizes, or none")
    if channels < 1 or given[1] not in (0, channels):
        raise ModelError(f"{path}: {counted(channels, 'channel')} in and {given[1]} out; expected the same number")
    if height != width:
        raise ModelError(f"{path}: height and width are fixed at {height}x{width}; export it dynamic, or square")
    return _Border(wire, channels, height or None)
