"""A plan of the stand-in: what it is for, and the ONNX file that it computes with."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MAGIC = b"stand-in plan\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What a plan says of itself."""

    library: str
    version: str
    device: str
    """The GPU's name; no matter where there are targets."""
    profile: Sequence[Sequence[int]]
    """Smallest, best and largest shape of the input."""
    targets: Sequence[str] = ()
    """Of TensorRT-RTX, as SM89."""
    tf32: bool = True
    version_compatible: bool = False
    hardware_compatible: bool = False


def pack(header: Header, model: bytes) -> bytes:
    """The plan's bytes."""
    return MAGIC + json.dumps(dataclasses.asdict(header)).encode() + b"\n" + model


def unpack(plan: bytes) -> tuple[Header, bytes] | None:
    """None where it is none."""
    if not plan.startswith(MAGIC):
        return None
    first, _, model = plan[len(MAGIC) :].partition(b"\n")
    return Header(**json.loads(first)), model


@functools.lru_cache(maxsize=8)
def session_of(model: bytes, tf32: bool) -> onnxruntime.InferenceSession:
    """What computes it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    given = _in_tf32(model) if tf32 else model
    return onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])


def border(model: bytes) -> tuple[Any, Any]:
    """(input, output) of the graph, each with its name and element type."""
    graph = onnx.load_from_string(model).graph
    return graph.input[0], graph.output[0]


def dtype_of(value: Any) -> np.dtype[Any]:
    """Of a graph's input or output."""
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def largest_output(model: bytes) -> str:
    """How the inspector of TensorRT 10 writes the type of what a graph gives."""
    kind = border(model)[1].type.tensor_type.elem_type
    return {TensorProto.FLOAT: "Row major linear FP32", TensorProto.FLOAT16: "Row major linear FP16"}.get(
        kind, "Row major linear UInt8"
    )


def _in_tf32(model: bytes) -> bytes:
    """Convolutions of fp32 take their inputs and weights with 10 bits of mantissa, as tensor cores do.

    (NVIDIA Ampere architecture whitepaper, TF32.) By Veltkamp's splitting, which is exact in three operations.
    """
    loaded = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    graph = loaded.graph
    known = [*graph.value_info, *graph.input, *graph.output]
    single = {each.name for each in known if each.type.tensor_type.elem_type == TensorProto.FLOAT}
    single |= {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    nodes: list[onnx.NodeProto] = []
    rounded: set[str] = set()
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            for index in (0, 1):
                name = node.input[index]
                if name not in single:
                    continue
                if name not in rounded:
                    nodes += _rounding(name)
                    rounded.add(name)
                node.input[index] = f"{name}/tf32"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.float32(splitter()), "tf32/splitter"))
    made: bytes = loaded.SerializeToString()
    return made


def splitter() -> float:
    """Of Veltkamp's: leaves 11 of 24 bits, the first of which is not stored."""
    return float(2**13 + 1)


def _rounding(name: str) -> list[onnx.NodeProto]:
    large, rest, out = f"{name}/large", f"{name}/rest", f"{name}/tf32"
    return [
        helper.make_node("Mul", [name, "tf32/splitter"], [large]),
        helper.make_node("Sub", [large, name], [rest]),
        helper.make_node("Sub", [large, rest], [out]),
    ]


def as_tf32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same in numpy, for tests of the stand-in itself."""
    large = values * np.float32(splitter())
    return large - (large - values)
