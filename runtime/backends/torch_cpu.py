"""PyTorch on the CPU, channels-last."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from nafnet.architecture import channels_last
from nafnet.checkpoint import load_checkpoint
from nafnet.errors import UsageError
from nafnet.runtime.backends.base import Backend, Run, Shape


class TorchBackend(Backend):
    """Runs a checkpoint with PyTorch."""

    name = "torch"
    gains_from_fixed_shapes = False

    @property
    def description(self) -> str:
        return f"PyTorch {torch.__version__}, CPU, channels-last"

    def _load(self, shape: Shape | None) -> Run:
        assert shape is None, "this backend gains nothing from a fixed shape"
        path = self.model.path
        if path.suffix == ".onnx":
            raise UsageError(f"--backend torch: got {path.name}; expected a checkpoint (.safetensors or .pth)")
        if self.threads:
            torch.set_num_threads(self.threads)
        module = channels_last(load_checkpoint(path).build())

        @torch.inference_mode()
        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            image = torch.from_numpy(batch).to(memory_format=torch.channels_last)
            restored: NDArray[np.generic] = module(image).contiguous().numpy()
            return restored

        return run
