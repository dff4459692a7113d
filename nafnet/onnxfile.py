"""Read an ONNX file's spec, and refuse what is unsafe or not an image-to-image model; write the spec into one.

Everything that loads an ONNX file goes through `inspect_onnx` first, before any inference library sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from nafnet.errors import ModelError
from nafnet.spec import METADATA_KEY, ModelSpec

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


def inspect_onnx(path: Path) -> ModelSpec:
    """The spec of an ONNX file; for a foreign file, one with what its graph tells: channels and multiple.

    Raises:
        ModelError: missing, unreadable, unsafe (external data, foreign operators, local functions), or without
            one float32[N,C,H,W] input and one output of the same kind, of dynamic H and W.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; expected an ONNX model")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable ONNX file ({error})") from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path}: not an ONNX model: it has no graph")
    _refuse_unsafe(path, model)
    channels = _image_channels(path, model.graph)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            spec = ModelSpec.from_json(entry.value)
            if spec.channels != channels:
                raise ModelError(f"{path}: the spec says {spec.channels} channels, the graph takes {channels}")
            return spec
    return ModelSpec(channels=channels, multiple=_multiple(model.graph), exported_by=model.producer_name or None)


def embed_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Write `spec` into the model's metadata, in the place of any that was there."""
    kept = [(entry.key, entry.value) for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    for key, value in [*kept, (METADATA_KEY, spec.to_json())]:
        model.metadata_props.add(key=key, value=value)


def _refuse_unsafe(path: Path, model: onnx.ModelProto) -> None:
    if model.functions:
        raise ModelError(f"{path}: refused: it defines functions of its own; export it anew as a plain graph")
    domains = {node.domain for graph in _graphs(model.graph) for node in graph.node} - STANDARD_DOMAINS
    if domains:
        raise ModelError(f"{path}: refused: operators of {', '.join(sorted(domains))}; expected standard ONNX alone")
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(model.graph)):
        raise ModelError(f"{path}: refused: weights are in other files; expected one self-contained file")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for child in inner:
                yield from _graphs(child)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: initialisers and the attributes of nodes."""
    for part in _graphs(graph):
        yield from part.initializer
        for node in part.node:
            for attribute in node.attribute:
                yield from [attribute.t, *attribute.tensors]


def _image_channels(path: Path, graph: onnx.GraphProto) -> int:
    """The channels of the one input, once it and the one output are found to be images."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(f"{path}: {len(inputs)} inputs and {len(graph.output)} outputs; expected one image in and out")
    shapes = []
    for value in (inputs[0], graph.output[0]):
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]  # 0 where dynamic
        if tensor.elem_type != onnx.TensorProto.FLOAT or len(dims) != 4:
            kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
            raise ModelError(f"{path}: {value.name} is {kind} with {len(dims)} dimensions; expected FLOAT [N,C,H,W]")
        shapes.append(dims)
    taken, given = shapes
    if taken[1] < 1 or given[1] not in (0, taken[1]):
        raise ModelError(f"{path}: {taken[1]} channels in and {given[1]} out; expected the same number")
    if any(taken[2:]):
        raise ModelError(f"{path}: height and width are fixed at {taken[2]}x{taken[3]}; export it with dynamic ones")
    return taken[1]


def _multiple(graph: onnx.GraphProto) -> int:
    """What H and W must be multiples of: 2 for each convolution that halves the image."""
    halvings = 0
    for node in graph.node:
        if node.op_type == "Conv":
            strides = next((list(a.ints) for a in node.attribute if a.name == "strides"), [1])
            halvings += max(strides) == 2
    return int(2 ** min(halvings, 8))
