"""PyTorch on a CUDA device, in half: streams, pinned copies, CUDA graphs. Not run on hardware yet."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from nafnet.architecture import channels_last
from nafnet.checkpoint import load_checkpoint
from nafnet.errors import MissingExtraError, ModelError
from nafnet.metrics import psnr
from nafnet.runtime.backends.capture_lock import UNCOLLECTED
from nafnet.runtime.backends.device_time import DeviceTime, Parts, TimedBackend, TimedLane
from nafnet.runtime.backends.lanes import Lane
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.wire import Batch

# The gate that an fp16 export passes; here on one tile, when the model is loaded.
LEAST_PSNR = 60.0
CHECKED_SIDE = 128


class TorchCudaBackend(TimedBackend):
    """Runs a checkpoint with PyTorch in fp16, channels-last, statistics in fp32; checked against fp32 when loaded."""

    name = "torch-cuda"

    @property
    def description(self) -> str:
        return f"PyTorch {torch.__version__}, {torch.cuda.get_device_name(self._place)}, fp16, channels-last"

    def make_lanes(self, count: int) -> list[Lane]:
        try:
            from nafnet.export.network.rewrites import InferenceNAFNet  # the typed half that exports are made of
        except ImportError as error:
            raise MissingExtraError.of(error, "export", after=", which makes a checkpoint fp16,") from error

        self._place = torch.device(self.device if ":" in self.device else "cuda:0")
        network = load_checkpoint(self.model.path).build()
        module = channels_last(InferenceNAFNet(network, "fused", dtype=torch.float16))
        module = module.to(self._place)
        lanes: list[Lane] = [TorchLane(module, self._place) for _ in range(count)]
        self._refuse_wrong_half(network, lanes[0])
        return lanes

    def _refuse_wrong_half(self, network: torch.nn.Module, lane: Lane) -> None:
        generator = np.random.default_rng(0)
        shape = (1, self.model.spec.channels, CHECKED_SIDE, CHECKED_SIDE)
        tile: Batch = generator.random(shape, np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(tile)).numpy()
        lane.start(Pending.of(tile, self.model.spec.io))
        found = psnr(lane.finish()[0].transpose(1, 2, 0), expected[0].transpose(1, 2, 0), peak=1.0)
        if not found >= LEAST_PSNR:
            raise ModelError(
                f"{self.model.path}: in fp16 it is {found:.1f} dB from fp32, below {LEAST_PSNR:.0f}; export it with "
                "nafnet-export --fp16, which tries safer forms"
            )


class TorchLane(TimedLane):
    """A stream with pinned and device tensors; a shape that repeats becomes a CUDA graph."""

    def __init__(self, module: torch.nn.Module, place: torch.device) -> None:
        self._module, self._place = module, place
        self._stream = torch.cuda.Stream(place)
        self._shape: tuple[int, ...] = ()
        self._runs = 0
        self._graph: Any = None

    @torch.inference_mode()
    def start(self, pending: Pending) -> None:
        if pending.shape != self._shape:
            self._take_shape(pending.shape)
        self._stream.synchronize()
        pending.write(self._sent.numpy())
        with torch.cuda.stream(self._stream):
            self._given.copy_(self._sent, non_blocking=True)
            if self._graph is None and self._runs == 2:  # two runs to let cuDNN choose and allocate
                graph = torch.cuda.CUDAGraph()
                # Other threads go on allocating meanwhile, for another device or a lane.
                with UNCOLLECTED, torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                    self._made = self._module(self._given)
                self._graph = graph
            if self._graph is not None:
                self._graph.replay()
            else:
                self._made = self._module(self._given)
            self._received.copy_(self._made, non_blocking=True)
        self._runs += 1

    def finish(self) -> Wired:
        self._stream.synchronize()
        restored: Wired = self._received.numpy()
        return restored

    def device_time(self, pending: Pending, rounds: int) -> DeviceTime:
        for _ in range(3):  # the third has a graph
            self.start(pending)
            self.finish()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        return DeviceTime.of([self._timed(marks) for _ in range(rounds)], "events")

    @torch.inference_mode()
    def _timed(self, marks: list[torch.cuda.Event]) -> Parts:
        with torch.cuda.stream(self._stream):
            marks[0].record(self._stream)
            self._given.copy_(self._sent, non_blocking=True)
            marks[1].record(self._stream)
            self._graph.replay()
            marks[2].record(self._stream)
            self._received.copy_(self._made, non_blocking=True)
            marks[3].record(self._stream)
        self._stream.synchronize()
        there, compute, back = (one.elapsed_time(later) / 1e3 for one, later in pairwise(marks))
        return there, compute, back

    def _take_shape(self, shape: tuple[int, ...]) -> None:
        self._stream.synchronize()
        self._graph, self._runs, self._shape = None, 0, ()  # no shape, should memory not suffice below
        self._sent = torch.empty(shape, pin_memory=True)
        self._received = torch.empty(shape, pin_memory=True)
        self._given = torch.empty(shape, device=self._place, memory_format=torch.channels_last)
        self._shape = shape
