"""Faults of the numbers that a graph holds: weights, biases, and constants that are in no checkpoint."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import onnx

from nafnet.benchmarks.studies.graph_edits import Array, Found, edit_tensor, tensors

_LEAST = 1e-5
"""Below it a constant is an epsilon, which is a kind of its own."""


def _largest(change: Callable[[float], float]) -> Callable[[Array], Array]:
    """Change the value that is farthest from 0."""

    def changed(tensor: Array) -> Array:
        place = int(np.abs(tensor.astype(np.float32)).argmax())
        tensor.flat[place] = change(float(tensor.flat[place]))
        return tensor

    return changed


def _swapped(tensor: Array) -> Array:
    """The least and the most."""
    low, high = int(tensor.argmin()), int(tensor.argmax())
    tensor.flat[[low, high]] = tensor.flat[[high, low]]
    return tensor


def _in_8_bits(tensor: Array) -> Array:
    step = np.abs(tensor.astype(np.float32)).max() / 127
    return np.rint(tensor / step) * step


def _in_bfloat16(tensor: Array) -> Array:
    return (np.ascontiguousarray(tensor, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


_CHANGES: dict[str, Callable[[Array], Array]] = {
    "one negated": _largest(lambda value: -value),
    "one zeroed": _largest(lambda _: 0.0),
    "one by 1.01": _largest(lambda value: value * 1.01),
    "all by 1.01": lambda tensor: tensor * 1.01,
    "all by 1.1": lambda tensor: tensor * 1.1,
    "all by 2": lambda tensor: tensor * 2,
    "all negated": np.negative,
    "two swapped": _swapped,
    "channels moved on by one": lambda tensor: np.roll(tensor, 1, 0),
    "kernels mirrored": lambda tensor: tensor[..., ::-1],
    "in 8 bits": _in_8_bits,
    "in bfloat16": _in_bfloat16,
}
_OF_CONSTANTS = list(_CHANGES)[:6]


def weights(model: onnx.ModelProto) -> Iterator[Found]:
    """Of a network, in a file whose graph is right."""
    for name in tensors(model.graph):
        if name.endswith(".weight"):
            for what, change in _CHANGES.items():
                yield f"{name}: {what}", functools.partial(edit_tensor, name=name, change=change)


def biases(model: onnx.ModelProto) -> Iterator[Found]:
    """By little and by much, all of a convolution's or one."""
    for name in (name for name in tensors(model.graph) if name.endswith(".bias")):
        for shift in (1e-5, 1e-3, 0.02, 0.5):
            yield (
                f"{name}: {shift:+g}",
                functools.partial(edit_tensor, name=name, change=functools.partial(np.add, shift)),
            )
        for what in ("one negated", "one zeroed", "channels moved on by one"):
            yield f"{name}: {what}", functools.partial(edit_tensor, name=name, change=_CHANGES[what])


def constants(model: onnx.ModelProto) -> Iterator[Found]:
    """The averaging of a norm, the scale of a LayerNormalization, the scales of a border."""
    for name, tensor in tensors(model.graph).items():
        is_weight = name.endswith((".weight", ".bias"))
        if tensor.dtype.kind == "f" and not is_weight and np.abs(tensor).max(initial=0) > _LEAST:
            for what in _OF_CONSTANTS:
                yield f"{name}: {what}", functools.partial(edit_tensor, name=name, change=_CHANGES[what])
