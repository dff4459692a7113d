"""PyTorch on the CPU, channels-last: the runtime's one module that imports torch."""

from __future__ import annotations

import torch

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import UsageError
from nafnet.runtime.backends.base import Backend, Batch, Model


class TorchBackend(Backend):
    """Runs a checkpoint with PyTorch."""

    name = "torch"

    def __init__(self, model: Model, threads: int | None) -> None:
        super().__init__(model, threads)
        if model.path.suffix == ".onnx":
            raise UsageError(f"--backend torch: got {model.path.name}; expected a checkpoint (.safetensors or .pth)")
        checkpoint = load_checkpoint(model.path)
        if threads:
            torch.set_num_threads(threads)
        self._module = checkpoint.build().to(memory_format=torch.channels_last)

    @property
    def description(self) -> str:
        return f"PyTorch {torch.__version__}, CPU, channels-last"

    @torch.inference_mode()
    def _run(self, batch: Batch) -> Batch:
        image = torch.from_numpy(batch).to(memory_format=torch.channels_last)
        restored: Batch = self._module(image).contiguous().numpy()
        return restored
