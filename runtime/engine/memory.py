"""How much memory a model takes, from the sizes of its tiles, and whether there is as much."""

from __future__ import annotations

from nafnet.spec import ModelSpec
from nafnet.system import SYSTEM

# Measured on OpenVINO and ONNX Runtime, as multiples of the widest activation (2 x width channels of fp32): inputs,
# outputs and skips of the first level are alive together.
ACTIVATIONS = 6
# What is left to the system when a whole image is to fit.
MARGIN = 0.7


def inference_bytes(spec: ModelSpec, height: int, width: int) -> int:
    """What the model's activations take for one tile, roughly; 32 channels are assumed of an unknown model."""
    channels = spec.architecture.width if spec.architecture else 32
    return ACTIVATIONS * 2 * channels * 4 * height * width


def fits_whole(spec: ModelSpec, height: int, width: int, batch: int) -> bool:
    """Whether a batch of images can be restored without tiles, as far as the system tells."""
    available = SYSTEM.available_memory()
    return available is None or batch * inference_bytes(spec, height, width) < MARGIN * available
