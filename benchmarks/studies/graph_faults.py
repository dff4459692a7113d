"""Faults of what operators do: convolutions, pools, batches, and the border of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto

from nafnet.benchmarks.studies.graph_edits import (
    Found,
    Step,
    attribute,
    cast,
    insert_after,
    insert_before,
    nodes,
    pass_on,
    set_attribute,
    set_operator,
    take,
    tensors,
)

_LONG = np.int64


def geometry(model: onnx.ModelProto) -> Iterator[Found]:
    """Of convolutions: borders, dilation, groups."""
    for output, node in nodes(model, "Conv"):
        change = partial(set_attribute, output=output)
        top, left, bottom, right = attribute(node, "pads")
        if top:
            for pads in ((top + 1, left, bottom - 1, right), (top, left - 1, bottom, right + 1), (0, 0, 2, 2)):
                yield f"{output}: pads {pads}", partial(change, pads=pads)
        if attribute(node, "kernel_shape") == [3, 3]:
            yield f"{output}: dilation 2", partial(change, dilations=(2, 2), pads=(2, 2, 2, 2))
            yield f"{output}: padding by a word", partial(change, pads=None, auto_pad="SAME_LOWER")
        yield f"{output}: 2 groups", partial(change, group=2)
        yield f"{output}: 1 group", partial(change, group=1)


def pool(model: onnx.ModelProto) -> Iterator[Found]:
    """SCA's mean over the image."""
    for output, _ in nodes(model, "ReduceMean"):
        for operator in ("ReduceMax", "ReduceSum", "ReduceL2"):
            yield f"{output}: {operator}", partial(set_operator, output=output, operator=operator)
        for axes in ((2,), (3,), (1, 2, 3)):
            yield (
                f"{output}: over axes {axes}",
                partial(take, output=output, index=1, value=np.array(axes, _LONG)),
            )
        yield f"{output}: none", partial(pass_on, output=output)
    for output, node in nodes(model, "Conv"):
        if node.input[1].endswith("attention.weight"):
            mean: Step = ("ReduceMean", (np.array([2, 3], _LONG),), {})
            yield f"{output}: the mean of all boxes", partial(insert_after, output=output, steps=(mean,))


def box(model: onnx.ModelProto) -> Iterator[Found]:
    """Local pooling's running sums and the places where its boxes begin and end."""
    held = tensors(model.graph)
    for output, node in nodes(model, "Sub", "Add"):
        name = node.input[1] if len(node.input) > 1 else ""
        if name in held and held[name].dtype == _LONG and held[name].size == 1:
            for shift in (1, -1, 8):
                value = held[name] + _LONG(shift)
                yield f"{output}: {shift:+d} pixels", partial(take, output=output, index=1, value=value)
    for output, node in nodes(model, "CumSum"):
        yield f"{output}: exclusive", partial(set_attribute, output=output, exclusive=1)
        yield f"{output}: reverse", partial(set_attribute, output=output, reverse=1)
        half = (cast(TensorProto.FLOAT16), cast(TensorProto.FLOAT))
        yield f"{output}: in half", partial(insert_after, output=output, steps=half)
        other = np.array(2 if int(held[node.input[1]].item()) == 3 else 3, _LONG)
        yield f"{output}: over the other axis", partial(take, output=output, index=1, value=other)
    for output, node in nodes(model, "Clip"):
        if held.get(node.input[0]) is None and any(name.startswith(("sub", "clamp", "add")) for name in node.input[:1]):
            yield f"{output}: not bounded", partial(pass_on, output=output)


def batch(model: onnx.ModelProto) -> Iterator[Found]:
    """Pictures that see each other."""
    for output, _ in nodes(model, "ReduceMean"):
        axes = np.array((0, 2, 3), _LONG)
        yield f"{output}: over the batch as well", partial(take, output=output, index=1, value=axes)
    for output, node in nodes(model, "Conv"):
        for operator in ("ReduceMean", "ReduceMax"):
            over: Step = (operator, (np.array([0], _LONG),), {})
            if ".depthwise" in node.input[1] or ".project" in node.input[1]:
                yield (
                    f"{output}: {operator} of the batch",
                    partial(insert_after, output=output, steps=(over,)),
                )
    first: Step = ("Gather", (np.array([0], _LONG),), {"axis": 0})
    for output, node in nodes(model, "Conv"):
        if ".attention" in node.input[1]:
            yield f"{output}: the first picture's", partial(insert_after, output=output, steps=(first,))


def border(model: onnx.ModelProto) -> Iterator[Found]:
    """What crosses the border: rounding, bounds, scales, the order of colours and axes."""
    graph = model.graph
    (image,), (restored,) = graph.input, graph.output
    colours = 3 if image.type.tensor_type.elem_type == TensorProto.UINT8 else 1
    turned: Step = ("Gather", (np.array([2, 1, 0], _LONG),), {"axis": colours})
    yield "BGR given", partial(insert_after, output=restored.name, steps=(turned,))
    for output, node in ((node.output[0], node) for node in graph.node if image.name in node.input):
        if node.op_type in ("Conv", "Cast"):
            place = list(node.input).index(image.name)
            yield (
                f"BGR taken by {output}",
                partial(insert_before, output=output, index=place, steps=(turned,)),
            )
    for output, _ in nodes(model, "Round"):
        for operator in ("Floor", "Ceil", "Identity"):
            yield f"{output}: {operator}", partial(set_operator, output=output, operator=operator)
        for shift in (0.1, 0.5, 1):
            moved: Step = ("Add", (np.float32(shift),), {})
            yield (
                f"{output}: {shift:+g} before",
                partial(insert_before, output=output, index=0, steps=(moved,)),
            )
    for output, node in nodes(model, "Clip"):
        if graph.input[0].type.tensor_type.elem_type != TensorProto.UINT8 or len(node.input) < 3 or not node.input[1]:
            continue
        yield f"{output}: none", partial(pass_on, output=output)
        for index, value in ((1, 16), (1, 1), (1, -5), (2, 254), (2, 235), (2, 128), (2, 260)):
            wrong = np.float32(value)
            yield f"{output}: {value} for a bound", partial(take, output=output, index=index, value=wrong)
    if image.type.tensor_type.elem_type != TensorProto.UINT8:
        for low, high in ((0, 1), (0.02, 0.98), (-4, 4)):
            bounds: Step = ("Clip", (np.float32(low), np.float32(high)), {})
            yield (
                f"result within {low} to {high}",
                partial(insert_after, output=restored.name, steps=(bounds,)),
            )
        for scale in (1 + 1e-4, 254 / 255):
            by: Step = ("Mul", (np.float32(scale),), {})
            yield f"result by {scale:g}", partial(insert_after, output=restored.name, steps=(by,))
