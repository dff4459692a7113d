"""Faults of how operators hang together: which take what, in which order and type, and which are not there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper

from nafnet.benchmarks.studies.graph_edits import (
    Found,
    Step,
    attribute,
    cast,
    insert_after,
    insert_before,
    nodes,
    pass_on,
    readers,
    set_attribute,
    shapes,
    swap_inputs,
    swap_outputs,
    take,
    tensors,
)

_LONG = np.int64
_ALIKE = 3
"""Of the values of the same shape that a node could take instead of its own: so many of the first, and of the last."""


def order(model: onnx.ModelProto) -> Iterator[Found]:
    """Of two inputs of a node, and of what two nodes give."""
    sizes = shapes(model)
    for output, node in nodes(model, "Sub", "Div", "Mul", "Add"):
        if node.input[0] != node.input[1]:
            yield f"{output}: inputs swapped", partial(swap_inputs, output=output)
    convolutions = [output for output, _ in nodes(model, "Conv")]
    for place, one in enumerate(convolutions):
        for other in convolutions[place + 1 : place + 6]:
            if one in sizes and sizes[one] == sizes.get(other):
                yield f"{one} and {other} swapped", partial(swap_outputs, one=one, other=other)


def wiring(model: onnx.ModelProto) -> Iterator[Found]:
    """A node takes another value of the same shape, such as another skip or what was there before a block."""
    sizes = shapes(model)
    seen: list[str] = [value.name for value in model.graph.input]
    for node in model.graph.node:
        for index, name in enumerate(node.input[: 2 if node.op_type in ("Add", "Mul") else 1]):
            alike = [other for other in seen if other != name and name in sizes and sizes[name] == sizes.get(other)]
            for other in dict.fromkeys([*alike[:_ALIKE], *alike[-_ALIKE:]]):
                change = partial(take, output=node.output[0], index=index, value=other)
                yield f"{node.output[0]}: {other} for input {index}, {name}", change
        seen.extend(node.output)


def epsilon(model: onnx.ModelProto) -> Iterator[Found]:
    """Of the norms, one at a time."""
    held, users = tensors(model.graph), readers(model.graph)
    for output, node in nodes(model, "Add"):
        if node.input[1] in held and any(user.op_type == "Sqrt" for user in users.get(output, ())):
            for value in _other_epsilons(float(held[node.input[1]].item())):
                change = partial(take, output=output, index=1, value=np.float32(value))
                yield f"{output}: epsilon {value:.0e}", change
    for output, node in nodes(model, "LayerNormalization"):
        for value in _other_epsilons(float(attribute(node, "epsilon"))):
            yield f"{output}: epsilon {value:.0e}", partial(set_attribute, output=output, epsilon=value)


def _other_epsilons(value: float) -> tuple[float, ...]:
    return (0.0, value / 10, value * 10, value * 1000, 0.1)


def types(model: onnx.ModelProto) -> Iterator[Found]:
    """What is computed, or summed, in another type."""
    sizes = shapes(model)
    for output, _ in nodes(model, "LayerNormalization"):
        yield (
            f"{output}: stash type half",
            partial(set_attribute, output=output, stash_type=TensorProto.FLOAT16),
        )
        yield f"{output}: over two axes", partial(set_attribute, output=output, axis=-2)
    for output, node in nodes(model, "ReduceMean", "Conv", "Div", "Add", "Sqrt", "Mul"):
        if node.output[0] not in sizes:
            continue
        own = sizes[output][0]
        for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            if kind != own and own in (TensorProto.FLOAT, TensorProto.FLOAT16):
                name = helper.tensor_dtype_to_string(kind)
                steps = (cast(kind), cast(own))
                yield f"{output}: through {name}", partial(insert_after, output=output, steps=steps)
    for output, node in nodes(model, "Cast"):
        yield f"{output}: not cast", partial(pass_on, output=output)
        if attribute(node, "to") == TensorProto.FLOAT:
            yield f"{output}: to half", partial(set_attribute, output=output, to=TensorProto.FLOAT16)


def removed(model: onnx.ModelProto) -> Iterator[Found]:
    """A node that gives what it takes."""
    for output, node in nodes(model, "Mul", "Add", "Div", "Sqrt", "LayerNormalization", "Conv"):
        for index in range(1 if node.op_type in ("Conv", "LayerNormalization") else len(node.input)):
            yield f"{output}: input {index} as it is", partial(pass_on, output=output, index=index)


def added(model: onnx.ModelProto) -> Iterator[Found]:
    """A function or a bound that is not in the network."""
    for output, node in nodes(model, "Conv"):
        steps: list[Step] = [(name, (), {}) for name in ("Relu", "Abs", "Sigmoid", "Tanh")]
        scale = np.float16 if _is_half(model, node) else np.float32
        steps += [("Clip", (scale(-bound), scale(bound)), {}) for bound in (0.1, 6, 60000)]
        for step in steps:
            bound = f" {step[1][1]:g}" if step[1] else ""
            yield f"{output}: {step[0]}{bound}", partial(insert_after, output=output, steps=(step,))


def _is_half(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    return tensors(model.graph)[node.input[1]].dtype == np.float16


def shuffle(model: onnx.ModelProto) -> Iterator[Found]:
    """Places and channels that change their turn."""
    for output, _ in nodes(model, "DepthToSpace"):
        yield f"{output}: DCR", partial(set_attribute, output=output, mode="DCR")
        around: Step = ("Transpose", (), {"perm": [0, 1, 3, 2]})
        yield f"{output}: read along columns", partial(insert_before, output=output, index=0, steps=(around,))
    for output, node in nodes(model, "Transpose"):
        for perm in ([0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 2, 1], [0, 2, 3, 1]):
            if perm != attribute(node, "perm"):
                yield f"{output}: {perm}", partial(set_attribute, output=output, perm=perm)
    for output, node in nodes(model, "Conv"):
        if ".attention" in node.input[1]:
            reversed_: Step = ("Slice", tuple(np.array([n], _LONG) for n in (-1, -(2**31), 1, -1)), {})
            yield f"{output}: channels reversed", partial(insert_after, output=output, steps=(reversed_,))
