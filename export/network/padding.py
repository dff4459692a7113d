"""A graph that takes images of any size: padded to the network's multiple and cropped again inside the graph.

Zeros to the right and below, as the authors' network does itself (`NAFNet.forward`), so that the result is the same.
PyTorch's exporter cannot prove that sizes fit after such padding; so the nodes are put around the finished graph.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

_PREFIX = "pad/"


def with_padding(model: onnx.ModelProto, multiple: int, *, channels_last: bool) -> onnx.ModelProto:
    """A copy of `model`, whose H and W must be multiples of `multiple`, that takes any.

    Args:
        model: one input and one output, [N,C,H,W], or [N,H,W,C] where `channels_last`; opset 18 or later.
    """
    padded = onnx.ModelProto()
    padded.CopyFrom(model)
    graph = padded.graph
    given, made = graph.input[0].name, graph.output[0].name
    inner = list(graph.node)
    for node in inner:
        node.input[:] = [f"{_PREFIX}image" if name == given else name for name in node.input]
        node.output[:] = [f"{_PREFIX}restored" if name == made else name for name in node.output]
    del graph.node[:]
    axes = (1, 2) if channels_last else (2, 3)
    constants = {"axes": axes, "multiple": (multiple,), "start": (0, 0)}
    for name, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), _PREFIX + name))
    before = [
        ("Shape", [given], "shape"),
        ("Gather", [f"{_PREFIX}shape", f"{_PREFIX}axes"], "size"),
        ("Neg", [f"{_PREFIX}size"], "minus"),
        ("Mod", [f"{_PREFIX}minus", f"{_PREFIX}multiple"], "missing"),  # of the divisor's sign, as in Python
        ("Concat", [f"{_PREFIX}start", f"{_PREFIX}missing"], "pads"),
        ("Pad", [given, f"{_PREFIX}pads", "", f"{_PREFIX}axes"], "image"),
    ]
    for kind, inputs, output in before:
        attributes = {"axis": 0} if kind == "Concat" else {}
        graph.node.append(helper.make_node(kind, inputs, [_PREFIX + output], name=_PREFIX + output, **attributes))
    graph.node.extend(inner)
    crop = [f"{_PREFIX}restored", f"{_PREFIX}start", f"{_PREFIX}size", f"{_PREFIX}axes"]
    graph.node.append(helper.make_node("Slice", crop, [made], name=f"{_PREFIX}crop"))
    return padded
