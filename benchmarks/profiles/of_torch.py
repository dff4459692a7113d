"""PyTorch's profiler, on the forms of the network that are modules, one for each level."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from nafnet.benchmarks.profiles import levels as kinds
from nafnet.benchmarks.profiles.levels import Levels, Place, kind_of_convolution, level_of_module
from nafnet.benchmarks.profiles.measured import Taken
from nafnet.benchmarks.rows.torch_forms import AsPublished, ChannelsLast, Tf32, TorchForm
from nafnet.wire import Batch

_RUN, _LEVEL, _CONVOLUTION = "nafnet run", "nafnet level ", "nafnet convolution "
_BY_NAME = {
    kinds.NORM: "layer_norm native_layer_norm",
    kinds.MEAN: "mean sum adaptive_avg_pool2d cumsum",
    kinds.ELEMENTWISE: "add add_ sub sub_ mul mul_ div div_ sqrt rsqrt square pow",
    kinds.SHUFFLE: "pixel_shuffle",
    kinds.LAYOUT: "permute contiguous clone copy_ to pad chunk split slice narrow reshape view cat unsqueeze "
    "alias resolve_conj resolve_neg lift_fresh",
}
_KIND = {f"aten::{name}": kind for kind, names in _BY_NAME.items() for name in names.split()}


class Profiled(TorchForm):
    """A form of the network with marks where its levels and its convolutions begin. The library could tell a
    convolution by its shapes, but would hold all that a run makes for it."""

    def runs(self, batch: Batch, levels: Levels, count: int) -> list[list[Taken]]:
        """The operators of so many runs: those that a module calls, each with all that it calls itself."""
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its library prints when it starts and stops
        on_gpu = self.place.type == "cuda"
        activities = [torch.profiler.ProfilerActivity.CPU]
        activities += [torch.profiler.ProfilerActivity.CUDA] if on_gpu else []
        profiler = torch.profiler.profile(activities=activities)
        with _marked(self.module, levels.depth), profiler as profile:
            for _ in range(count):
                with torch.profiler.record_function(_RUN):
                    pass
                self(batch)
        return list(_by_run(profile.events(), on_gpu))


class ProfiledAsPublished(Profiled, AsPublished):
    """Of the network as published."""


class ProfiledChannelsLast(Profiled, ChannelsLast):
    """Of channels-last."""


class ProfiledTf32(Profiled, Tf32):
    """Of TF32 on CUDA."""


@contextlib.contextmanager
def _marked(network: torch.nn.Module, depth: int) -> Iterator[None]:
    """Each part of the network, and each convolution, says in the profile when it begins."""
    with contextlib.ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                kind = kind_of_convolution(module.weight.shape, module.groups)
                stack.callback(module.register_forward_pre_hook(_marker(f"{_CONVOLUTION}{kind}")).remove)
        for part, child in network.named_children():
            several = enumerate(child) if isinstance(child, torch.nn.ModuleList) else [(0, child)]
            for number, module in several:
                mark = _marker(f"{_LEVEL}{level_of_module(part, number, depth)}")
                stack.callback(module.register_forward_pre_hook(mark).remove)
        yield


def _marker(name: str) -> Any:
    def mark(*_: object) -> None:
        with torch.profiler.record_function(name):
            pass

    return mark


def _by_run(events: Iterable[Any], on_gpu: bool) -> Iterator[list[Taken]]:
    """Operators in their order; each belongs to the level that began last. On a GPU their kernels' times count."""
    level: int | None = None
    convolution = kinds.CONVOLUTION
    run: list[Taken] = []
    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.name == _RUN:
            if run:
                yield run
            level, run = None, []
        elif event.name.startswith(_LEVEL):
            level = int(event.name.removeprefix(_LEVEL))
        elif event.name.startswith(_CONVOLUTION):
            convolution = event.name.removeprefix(_CONVOLUTION)
        elif event.name.startswith("aten::") and event.cpu_parent is None:
            microseconds = event.device_time_total if on_gpu else event.cpu_time_total
            kind = convolution if event.name == "aten::conv2d" else _KIND.get(event.name, kinds.OTHER)
            run.append((Place(level=level, kind=kind), microseconds / 1e6))
    yield run
