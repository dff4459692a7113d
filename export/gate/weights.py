"""Whether a graph holds the weights that it was to hold: what no picture shows where a weight does next to nothing."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import nn

from nafnet.export.network.graph import rounded

MOST_7_BITS = 64
"""Of a weight: sums of two products with 8-bit values then stay within 16 bits on any processor."""
# What rounding a scale in half may add; and below the least number of half ONNX Runtime takes 1 for a scale.
_COARSER, _LEAST_SCALE = 1.05, 6.2e-5
_8_BITS = (TensorProto.INT8, TensorProto.UINT8)


def wrong_weights(model: onnx.ModelProto, module: nn.Module) -> str | None:
    """Which initialiser is not the weight of `module` that it is named after, in words; None if all are.

    Weights in half are to be the nearest to those in fp32, to the bit. Those in 8 bits, with a scale for each output
    channel, are to be the nearest of the 8-bit values, but for half of a step more, which rounding in half may cost.
    """
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    wrong, found = [], 0  # constants that the exporter merged are not in the graph by their names
    for name, parameter in module.named_parameters():
        label = f"module.{name}"
        weight = parameter.detach().float().numpy()
        if label in held:
            found += 1
            tensor = held[label]
            given = numpy_helper.to_array(tensor)
            if given.shape != weight.shape or given.tobytes() != rounded(weight, tensor.data_type).tobytes():
                wrong.append(name)
        elif f"{label}_quantized" in held:
            found += 1
            if not _is_nearest(held, label, weight):
                wrong.append(name)
    if not found:
        return "none of the network's weights is in the graph by its name"
    return f"{len(wrong)} of {found} weights in the file are not the network's, {wrong[0]} first" if wrong else None


def _is_nearest(held: dict[str, TensorProto], label: str, weight: NDArray[np.float32]) -> bool:
    quantised = held[f"{label}_quantized"]
    if quantised.data_type not in _8_BITS or f"{label}_scale" not in held:
        return False
    values = numpy_helper.to_array(quantised).astype(np.float32)
    scale = numpy_helper.to_array(held[f"{label}_scale"]).astype(np.float32).ravel()
    if values.shape != weight.shape or scale.size not in (1, len(weight)):
        return False
    # A scale that is too coarse would make zero the nearest of all.
    largest = np.abs(weight).reshape(len(weight), -1).max(1)
    due = largest / MOST_7_BITS
    if ((scale > due * _COARSER) & (due > _LEAST_SCALE)).any():
        return False
    scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
    zero = held.get(f"{label}_zero_point")
    shift = 0 if zero is None else numpy_helper.to_array(zero).astype(np.float32).reshape(scale.shape)
    steps = values - shift
    # A scale below the normal numbers of half is rounded by much, and its steps are more; such weights are all but 0.
    is_small = (due <= _LEAST_SCALE).reshape(scale.shape) if scale.size > 1 else scale <= _LEAST_SCALE
    is_of_7_bits = (np.abs(steps) <= MOST_7_BITS + 1) | is_small
    return bool(is_of_7_bits.all() and (np.abs(steps * scale - weight) <= scale).all())
