"""The bundled blind denoiser, as a checkpoint and as the ONNX file exported from it; MODEL_CARD.md describes it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled_model(suffix: str = ".onnx") -> Path:
    """The bundled denoiser's file: ``.onnx`` or ``.safetensors``."""
    return Path(str(resources.files("nafnet.pretrained").joinpath(f"denoise{suffix}")))
