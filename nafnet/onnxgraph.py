"""What an ONNX graph tells of itself without a spec: what its sizes are multiples of, and what it computes in."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import onnx
from google.protobuf.message import Message

from nafnet.parity import Precision
from nafnet.spec import WireType

_OF_BORDERS: dict[WireType, Precision] = {"float32": "fp32", "float16": "fp16"}
_COMPUTED: dict[int, Precision] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
}
_MOVES = frozenset({"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "DequantizeLinear"})
_MOST_MOVES = 8  # no exporter puts more between a weight and what it multiplies
_IN_8_BITS = frozenset({"QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"})


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for child in inner:
                yield from graphs(child)


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: initialisers and the attributes of nodes."""
    for part in graphs(graph):
        yield from part.initializer
        for node in part.node:
            for attribute in node.attribute:
                yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def graph_sha256(model: onnx.ModelProto) -> str:
    """SHA-256 over all that decides what a graph computes: its nodes, initialisers, inputs, outputs and opset.

    Names of the producer, documentation, metadata and the noted sizes of inner values are not part of it.
    """
    digest = hashlib.sha256()

    def add(kind: str, parts: Iterable[Message]) -> None:
        for part in parts:
            content = part.SerializeToString(deterministic=True)
            digest.update(f"{kind} {len(content)}\n".encode())
            digest.update(content)

    add("opset", model.opset_import)
    add("function", model.functions)
    graph = model.graph
    add("node", map(_plain, graph.node))
    add("initialiser", map(_plain, graph.initializer))
    add("sparse", graph.sparse_initializer)
    add("quantised", graph.quantization_annotation)
    add("input", map(_plain, graph.input))
    add("output", map(_plain, graph.output))
    return digest.hexdigest()


def _plain(part: Any) -> Any:
    """A node, tensor or value without what only tells of it."""
    if not part.doc_string and not part.metadata_props:
        return part
    plain = type(part)()
    plain.CopyFrom(part)
    plain.ClearField("doc_string")
    plain.ClearField("metadata_props")
    return plain


def multiple_of(graph: onnx.GraphProto) -> int:
    """What H and W must be multiples of: 2 for each halving on the way to the smallest images in the graph.

    A convolution of stride 2 halves, and DepthToSpace by 2 doubles again. What else enlarges an image is not known
    here, and the multiple is then larger than it need be.
    """
    levels: dict[str, int] = {}
    for node in graph.node:
        level = max((levels.get(name, 0) for name in node.input), default=0)
        if node.op_type == "Conv":
            strides = next((list(a.ints) for a in node.attribute if a.name == "strides"), [1])
            level += max(strides, default=1) == 2
        elif node.op_type == "DepthToSpace":
            level -= next((a.i for a in node.attribute if a.name == "blocksize"), 0) == 2
        levels.update(dict.fromkeys(node.output, level))
    return int(2 ** min(max(levels.values(), default=0), 8))


def precision_of(graph: onnx.GraphProto, wire: WireType) -> Precision | None:
    """What most operators with weights compute in; of a graph without any, what crosses its border.

    Weights and activations of an operator are of one type, so a cast of stored weights tells of both. Between
    dequantised weights and activations, runtimes compute in 8 bits. None: it cannot be told.
    """
    held = {tensor.name: tensor.data_type for part in graphs(graph) for tensor in part.initializer}
    counts: collections.Counter[Precision] = collections.Counter()
    for part in graphs(graph):
        made = {name: node for node in part.node for name in node.output}
        for node in part.node:
            if node.op_type in _IN_8_BITS:
                counts["int8"] += 1
            elif node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
                origins = [made[name].op_type if name in made else "" for name in node.input[:2]]
                kind = _type_of(node.input[1], made, held)
                found = "int8" if origins == ["DequantizeLinear"] * 2 else _COMPUTED.get(kind) if kind else None
                if found:
                    counts[found] += 1
    if counts:
        return counts.most_common(1)[0][0]
    return _OF_BORDERS.get(wire)


def _type_of(name: str, made: dict[str, onnx.NodeProto], held: dict[str, int]) -> int | None:
    """The type of a weight, through what only moves it; None where that does not end at one, or at a cast."""
    for _ in range(_MOST_MOVES):
        if name in held:
            return held[name]
        node = made.get(name)
        if node is None:
            return None
        attributes = {entry.name: entry for entry in node.attribute}
        if node.op_type == "Cast":
            return int(attributes["to"].i)
        if node.op_type == "Constant":
            return int(attributes["value"].t.data_type) if "value" in attributes else None
        if node.op_type not in _MOVES:
            return None
        # A dequantised weight is of the type of its scale.
        name = node.input[1 if node.op_type == "DequantizeLinear" else 0]
    return None
