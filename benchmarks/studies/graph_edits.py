"""Small changes of an ONNX graph, in place: what `mutations` makes faults of.

A node is named by its first output, a value by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Constant = Array | np.generic
Step = tuple[str, tuple[Constant, ...], dict[str, Any]]
"""An operator of one value: its type, the constants that are its further inputs, and its attributes."""
Change = Callable[[onnx.GraphProto], None]
Found = tuple[str, Change]
"""A fault: where and which, in words, and what makes it."""
_SIZES = {"batch": 2, "height": 128, "width": 160}
"""For the shapes; no two values of different meaning get the same one."""


def node_of(graph: onnx.GraphProto, output: str) -> onnx.NodeProto:
    """The node that gives a value."""
    return next(node for node in graph.node if output in node.output)


def readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that take each value."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def nodes(model: onnx.ModelProto, *operators: str) -> list[tuple[str, onnx.NodeProto]]:
    """(first output, node) of each node of these types."""
    return [(node.output[0], node) for node in model.graph.node if node.op_type in operators]


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """The value of an attribute; None where the node has none such."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)


def tensors(graph: onnx.GraphProto) -> dict[str, Array]:
    """The initialisers."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """(element type, sizes) of every value whose shape can be told, for one size of the input."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = _SIZES[dim.dim_param]
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    found = {}
    for value in (*graph.input, *graph.value_info):
        kind = value.type.tensor_type
        if all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = (kind.elem_type, *(dim.dim_value for dim in kind.shape.dim))
    return found


def cast(kind: int) -> Step:
    """To an element type."""
    return ("Cast", (), {"to": kind})


def constant(graph: onnx.GraphProto, value: Constant) -> str:
    """Add an initialiser; returns its name."""
    name = f"constant {len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def edit_tensor(graph: onnx.GraphProto, name: str, change: Callable[[Array], Array]) -> None:
    """Replace an initialiser by what `change` makes of it, in its own type."""
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    before = numpy_helper.to_array(tensor)
    after = np.ascontiguousarray(change(before.copy()).astype(before.dtype))
    tensor.CopyFrom(numpy_helper.from_array(after, name))


def set_attribute(graph: onnx.GraphProto, output: str, **values: Any) -> None:
    """Give a node attributes in the place of those of the same names; None takes one away."""
    node = node_of(graph, output)
    kept = [each for each in node.attribute if each.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in values.items() if value is not None)


def set_operator(graph: onnx.GraphProto, output: str, operator: str) -> None:
    """Let a node compute something else of its inputs."""
    node_of(graph, output).op_type = operator


def take(graph: onnx.GraphProto, output: str, index: int, value: str | Constant) -> None:
    """Let a node take another value, or a constant, as one of its inputs."""
    node_of(graph, output).input[index] = value if isinstance(value, str) else constant(graph, value)


def pass_on(graph: onnx.GraphProto, output: str, index: int = 0) -> None:
    """Let a node give one of its inputs as it is."""
    node = node_of(graph, output)
    node.input[:] = [node.input[index]]
    node.op_type = "Identity"
    del node.attribute[:]


def swap_inputs(graph: onnx.GraphProto, output: str) -> None:
    """Exchange the two inputs of a node."""
    node = node_of(graph, output)
    node.input[:] = [node.input[1], node.input[0]]


def swap_outputs(graph: onnx.GraphProto, one: str, other: str) -> None:
    """Let each of two nodes give what the other gave."""
    first, second = node_of(graph, one), node_of(graph, other)
    first.output[0], second.output[0] = other, one


def insert_after(graph: onnx.GraphProto, output: str, steps: Sequence[Step]) -> None:
    """Send a value through further operators; all that took it take their result."""
    node = node_of(graph, output)
    place = list(graph.node).index(node) + 1
    node.output[list(node.output).index(output)] = inner = f"{output}/0"
    for index, step in enumerate(steps, 1):
        last = output if index == len(steps) else f"{output}/{index}"
        graph.node.insert(place, _made(graph, step, inner, last))
        place, inner = place + 1, last


def insert_before(graph: onnx.GraphProto, output: str, index: int, steps: Sequence[Step]) -> None:
    """Send one input of a node through further operators; others that take the value are left alone."""
    node = node_of(graph, output)
    place, inner = list(graph.node).index(node), node.input[index]
    for number, step in enumerate(steps, 1):
        last = f"{output}/before {index}.{number}"
        graph.node.insert(place, _made(graph, step, inner, last))
        place, inner = place + 1, last
    node_of(graph, output).input[index] = inner


def _made(graph: onnx.GraphProto, step: Step, given: str, output: str) -> onnx.NodeProto:
    operator, constants, attributes = step
    further = [constant(graph, value) for value in constants]
    return helper.make_node(operator, [given, *further], [output], **attributes)
