"""The network in PyTorch as people run it: eager as published, channels-last, compiled; on the CPU and on CUDA.

Each is a backend of the runtime, so the bench treats it as any other. `AsPublished` is the reference that all rows are
compared with, and the ratio's denominator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from nafnet.architecture import channels_last
from nafnet.checkpoint import load_checkpoint
from nafnet.runtime.backends.base import Backend, Run, Shape
from nafnet.runtime.backends.device_time import DeviceTime, Parts
from nafnet.wire import Batch

_MOST_SHAPES = 64


class TorchForm(Backend):
    """A checkpoint in PyTorch; a subclass says in which form."""

    gains_from_fixed_shapes = False
    layout: ClassVar[torch.memory_format] = torch.contiguous_format
    compiled: ClassVar[bool] = False
    dtype: ClassVar[torch.dtype] = torch.float32
    tf32: ClassVar[bool] = False

    @property
    def description(self) -> str:
        place = torch.cuda.get_device_name(self.place) if self.place.type == "cuda" else "CPU"
        precision = "TF32" if self.tf32 else str(self.dtype).removeprefix("torch.")
        return f"PyTorch {torch.__version__}, {place}, {precision}"

    @property
    def place(self) -> torch.device:
        """Where it runs."""
        return torch.device(self.device)

    def _load(self, shape: Shape | None) -> Run:
        assert shape is None, "PyTorch is loaded for any shape"
        if self.threads:
            torch.set_num_threads(self.threads)
        self.module = self._module().to(self.place)

        @torch.inference_mode()
        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            image = torch.from_numpy(batch).to(self.place).to(memory_format=self.layout)
            with tf32(self.tf32):
                restored: NDArray[np.generic] = self.module(image).float().contiguous().cpu().numpy()
            return restored

        return run

    @torch.inference_mode()
    def device_time(self, batch: Batch, rounds: int) -> DeviceTime:
        """What float32[N,C,H,W] takes on the GPU; the copies are of pageable memory, as in a call."""
        taken: list[Parts] = []
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        for _ in range(rounds):
            marks[0].record()
            image = torch.from_numpy(batch).to(self.place)
            marks[1].record()
            with tf32(self.tf32):
                made = self.module(image.to(memory_format=self.layout)).float().contiguous()
            marks[2].record()
            made.cpu()
            marks[3].record()
            torch.cuda.synchronize(self.place)
            there, compute, back = (one.elapsed_time(later) / 1e3 for one, later in pairwise(marks))
            taken.append((there, compute, back))
        return DeviceTime.of(taken, "events")

    def _module(self) -> torch.nn.Module:
        network = load_checkpoint(self.model.path).build()
        module: torch.nn.Module = network
        if self.dtype != torch.float32:
            from nafnet.export.network.rewrites import InferenceNAFNet  # statistics in fp32, as an export has them

            module = InferenceNAFNet(network, "fused", dtype=self.dtype)
        if self.layout == torch.channels_last:
            module = channels_last(module)
        if self.compiled:
            # A shape of its own each time, as for the other backends' prepared models; beyond so many PyTorch would
            # go back to eager without a word.
            torch._dynamo.config.recompile_limit = _MOST_SHAPES
            module = torch.compile(module, dynamic=False)  # type: ignore[assignment]  # it gives a module, typed as a function
        return module


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let CUDA multiply fp32 with 10 bits of mantissa, or not; PyTorch's own default differs by operation."""
    flags: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = allowed
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


class AsPublished(TorchForm):
    """The network with the authors' formulas, one operator after the other."""

    name = "torch eager"


class ChannelsLast(TorchForm):
    """With the channels adjacent in memory, and the library's own LayerNorm."""

    name = "torch channels-last"
    layout = torch.channels_last


class Compiled(TorchForm):
    """By torch.compile, which needs a C++ compiler."""

    name = "torch compile"
    layout = torch.channels_last
    compiled = True


class Tf32(TorchForm):
    """fp32 on CUDA with TF32 multiplication."""

    name = "torch eager TF32"
    tf32 = True


class CompiledHalf(Compiled):
    """Compiled for CUDA, fp16 with statistics in fp32."""

    name = "torch compile fp16"
    dtype = torch.float16
