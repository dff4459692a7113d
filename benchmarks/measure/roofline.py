"""How far a machine could go: the network's work counted from its graph, the machine's rates measured.

Source of the method: Williams et al., "Roofline: an insightful visual performance model", CACM 2009.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import torch
from onnx import shape_inference

from nafnet.benchmarks.rows.torch_forms import tf32
from nafnet.errors import BackendError
from nafnet.parity import Arithmetic

# Large enough to be no matter of starting and of caches, and no larger.
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
COPIED_BYTES = {"cpu": 128 * 2**20, "cuda": 2**30}
_FLOAT = 4
Sizes = dict[str, tuple[int, ...]]
_RATED: tuple[Arithmetic, ...] = ("fp32", "tf32", "fp16", "bf16")
LAYERS = ("Conv", "MatMul", "Gemm")
"""Operators whose multiplications are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or a matrix product."""

    flops: int
    """A multiplication and an addition are two."""
    bytes: int
    """Its input, its weights and its result, each once, in fp32."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a batch takes."""

    layers: tuple[Layer, ...]
    other_flops: int
    """Of all other operators: one for each element of their results."""
    other_bytes: int
    """Their inputs and results, as a runtime that fuses nothing moves them."""

    @property
    def flops(self) -> int:
        """Of the layers: what papers count, twice their multiply-accumulates."""
        return sum(layer.flops for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Of all operators, nothing fused."""
        return sum(layer.bytes for layer in self.layers) + self.other_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
    """What the machine does, measured."""

    flops: dict[Arithmetic, float]
    """Floating-point operations a second of a product of square matrices."""
    bytes: float
    """Bytes a second, read and written together, of a copy in memory."""


def count(path: Path, shape: tuple[int, int, int, int]) -> Work:
    """The work of an exported graph for a batch float32[N,C,H,W].

    Raises:
        BackendError: a layer's sizes do not follow from the batch's; counted as nothing, it would flatter every row.
    """
    model = onnx.load(path)
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    for dimension, size in zip(dimensions, shape, strict=True):
        dimension.dim_value = size
    for output in model.graph.output:  # free names there would contradict the sizes
        output.type.tensor_type.ClearField("shape")
    sizes = dict(_sizes(shape_inference.infer_shapes(model, data_prop=True)))
    layers, other_flops, other_bytes = [], 0, 0
    for node in model.graph.node:
        if node.op_type in LAYERS:
            _refuse_unknown(node, sizes, path)
        result = math.prod(sizes[node.output[0]]) if node.output[0] in sizes else 0
        moved = _FLOAT * (result + sum(math.prod(sizes[name]) for name in node.input if name in sizes))
        if node.op_type in LAYERS:
            layers.append(Layer(flops=2 * result * _depth(node, sizes), bytes=moved))
        elif node.op_type not in ("Constant", "Shape", "Gather", "Concat", "Reshape", "Unsqueeze", "Squeeze"):
            other_flops += result
            other_bytes += moved
    return Work(layers=tuple(layers), other_flops=other_flops, other_bytes=other_bytes)


def _refuse_unknown(node: onnx.NodeProto, sizes: Sizes, path: Path) -> None:
    for name in (*node.input, *node.output):
        if name and not all(sizes.get(name, (0,))):  # "" is an optional input that is not there
            known = list(sizes[name]) if name in sizes else "nothing"
            raise BackendError(f"{path.name}: {node.op_type} '{node.name}': of the size of '{name}', {known} is known")


def _depth(node: onnx.NodeProto, sizes: Sizes) -> int:
    """Multiply-accumulates for each element of the result."""
    weights = sizes[node.input[1]]
    if node.op_type == "Conv":
        return math.prod(weights[1:])  # [Cout, Cin/groups, kh, kw]
    return sizes[node.input[0]][-1]


def _sizes(model: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, dimensions) of each tensor that is known of, 0 where a dimension is not."""
    graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):  # without, not even the number of dimensions is known
            yield value.name, tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)


def floor(work: Work, rates: Rates, precision: Arithmetic) -> float:
    """Seconds below which no runtime can get that runs layer by layer, everything else fused into the layers.

    Each layer takes as long as its arithmetic at the rate of a matrix product, or as its bytes at that of a copy,
    whichever is longer. Where tensors stay in a cache, which a copy of this size does not, a runtime may beat it.
    """
    rate = rates.flops[precision]
    scale = 1.0 if precision in ("fp32", "tf32") else 0.5
    return sum(max(layer.flops / rate, scale * layer.bytes / rates.bytes) for layer in work.layers)


def yardsticks(device: str, precisions: list[Arithmetic]) -> dict[str, Callable[[], None]]:
    """What `rates` are measured with, by name; each call waits for its end.

    None in fp16 on a CPU: PyTorch takes hundreds of times as long there as in fp32, and the runtimes compute half in
    fp32, so that its rate would say nothing of theirs.
    """
    kinds: dict[Arithmetic, torch.dtype] = {
        "fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16
    }  # fmt: skip
    if device == "cpu":
        del kinds["fp16"]
    functions = {
        f"matrix product {name}": _matrix_product(device, dtype, coarse=name == "tf32")
        for name, dtype in kinds.items()
        if name in precisions
    }
    return {**functions, "copy": _copy(device)}


def rates_from(minima: dict[str, float], device: str) -> Rates:
    """From the fastest seconds of each yardstick, measured on a device."""
    kind = device.partition(":")[0]
    flops: dict[Arithmetic, float] = {}
    for precision in _RATED:
        if (seconds := minima.get(f"matrix product {precision}")) is not None:
            flops[precision] = 2 * MATRIX_SIDE[kind] ** 3 / seconds
    return Rates(flops=flops, bytes=2 * COPIED_BYTES[kind] / minima["copy"])


def _matrix_product(device: str, dtype: torch.dtype, *, coarse: bool) -> Callable[[], None]:
    generator = torch.Generator().manual_seed(0)
    side = MATRIX_SIDE[device.partition(":")[0]]
    a, b = (torch.rand(side, side, generator=generator).to(device, dtype) for _ in range(2))
    result = torch.empty_like(a)

    @torch.inference_mode()
    def multiply() -> None:
        with tf32(coarse):
            torch.mm(a, b, out=result)
        _wait(device)

    return multiply


def _copy(device: str) -> Callable[[], None]:
    source = torch.ones(COPIED_BYTES[device.partition(":")[0]], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)

    def copy() -> None:
        target.copy_(source)
        _wait(device)

    return copy


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
