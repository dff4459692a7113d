"""A graph in half as a GPU runs it, made runnable on a CPU: every value is rounded to half where it is stored.

ONNX Runtime's CPU provider has few operators in half. It computes the others in fp32 and, at every optimisation level,
drops the casts between them, so what would be stored as half never is: a value of 90,000, which is infinity in half,
passes from one operator to the next unharmed, and a graph that is black on a GPU looks perfect. (Two multiplications
by 300 and 1/300 show it.) A cast that stands in the graph is kept. So here each operator is typed fp32, and its result
goes through a cast to half and back: sums in fp32 and storage in half, as in tensor cores.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# They give out what they were given, so there is nothing to round.
MOVES = frozenset({"Transpose", "Reshape", "DepthToSpace", "Identity", "Gather", "Slice", "Split", "Squeeze", "Concat"})


def stores_half(model: onnx.ModelProto) -> bool:
    """Whether any weight of the graph is in half."""
    return any(tensor.data_type in HALVES for tensor in model.graph.initializer)


def as_stored(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` that computes in fp32 and rounds to half whatever the original stores in half.

    Input and output keep their names and types.
    """
    kinds = _types(model)
    emulated = onnx.ModelProto()
    emulated.CopyFrom(model)
    graph = emulated.graph
    del graph.node[:]
    del graph.value_info[:]
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type in HALVES:
            graph.initializer[index].CopyFrom(_widened(tensor))
    renamed: dict[str, str] = {}
    for value in model.graph.input:
        if kinds.get(value.name) in HALVES:
            renamed[value.name] = f"{value.name}/wide"
            graph.node.append(helper.make_node("Cast", [value.name], [renamed[value.name]], to=TensorProto.FLOAT))
    for node in model.graph.node:
        graph.node.extend(_emulated(node, kinds, renamed))
    for value in model.graph.output:
        if value.name in renamed:
            half = value.type.tensor_type.elem_type
            graph.node.append(helper.make_node("Cast", [renamed[value.name]], [value.name], to=half))
    return emulated


def _emulated(node: onnx.NodeProto, kinds: dict[str, int], renamed: dict[str, str]) -> list[onnx.NodeProto]:
    """`node` in fp32, and the two casts behind it."""
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.input[:] = [renamed.get(name, name) for name in node.input]
    half = next((kinds[name] for name in node.output if kinds.get(name) in HALVES), None)
    if node.op_type == "Cast":
        if half is None:
            return [made]
        renamed[node.output[0]] = wide = f"{node.output[0]}/wide"
        made.output[0] = f"{node.output[0]}/stored"
        return [made, helper.make_node("Cast", [made.output[0]], [wide], to=TensorProto.FLOAT)]
    if half is None:
        return [made]
    for attribute in made.attribute:
        if attribute.HasField("t") and attribute.t.data_type in HALVES:
            attribute.t.CopyFrom(_widened(attribute.t))
    nodes = [made]
    for index, name in enumerate(node.output):
        renamed[name] = wide = f"{name}/wide"
        if node.op_type in (*MOVES, "Constant"):
            made.output[index] = wide
            continue
        made.output[index] = f"{name}/exact"
        nodes.append(helper.make_node("Cast", [f"{name}/exact"], [f"{name}/stored"], to=half))
        nodes.append(helper.make_node("Cast", [f"{name}/stored"], [wide], to=TensorProto.FLOAT))
    return nodes


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every value in the graph."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The tensor's half values in fp32."""
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name)
