"""What torch says of CUDA, and its memory, streams, events and graphs there, as far as the project uses them.

Work is done when it is asked for; that it was awaited is what is checked.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.gpu_stand_in.device import Device, Stream
from tests.gpu_stand_in.plan import splitter

UUID = "6c2e1b0a-7f35-4d0e-9d7a-3b1f0c5e8a42"
_CONVOLUTIONS = (torch.conv2d, torch.nn.functional.conv2d)
_MADE = ("empty", "rand", "ones", "zeros")


class DeviceTensor(torch.Tensor):
    """A tensor whose memory is the stand-in's."""

    device_of: Device

    def data_ptr(self) -> int:
        address = super().data_ptr()
        known = self.device_of.allocations
        if address not in known:
            # Kept as plain storage: the address must not be given to another tensor while the device knows it.
            self.device_of.adopt(address, self.numel() * self.element_size(), self.untyped_storage())
        return address

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _CONVOLUTIONS and torch.backends.cudnn.allow_tf32 and cls.device_of.capability >= (8, 0):
            args = [_in_tf32(each) if index < 2 else each for index, each in enumerate(args)]
        made = super().__torch_function__(function, types, args, kwargs or {})
        if function is torch.empty_like:
            torch.Tensor.fill_(made, float("nan") if made.is_floating_point() else 255)
        return made


def _in_tf32(values: torch.Tensor) -> torch.Tensor:
    """As tensor cores take it, see `plan.as_tf32`."""
    if values.dtype != torch.float32:
        return values
    large = values * splitter()
    return large - (large - values)


class TorchStream:
    """`torch.cuda.Stream`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stream = Stream(number=next(device.numbers))
        device.streams[self._stream.number] = self._stream

    @property
    def cuda_stream(self) -> int:
        return self._stream.number

    def wait_stream(self, _: object) -> None:
        """Copies from pageable memory are done when `cuda` returns."""

    def synchronize(self) -> None:
        self._device.drain(self._stream)
        self._device.torch_events.clear()


class TorchEvent:
    """`torch.cuda.Event`, with the errors of torch 2.9's."""

    def __init__(self, device: Device, enable_timing: bool = False) -> None:
        self._device, self._timed = device, enable_timing
        self._at: float | None = None

    def record(self, _: object = None) -> None:
        self._at = time.perf_counter()
        self._device.torch_events.append(self)

    def synchronize(self) -> None:
        if self in self._device.torch_events:
            del self._device.torch_events[: self._device.torch_events.index(self) + 1]

    def elapsed_time(self, end: TorchEvent) -> float:
        """Milliseconds."""
        both = (self, end)
        if not all(each._timed for each in both):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or end._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if any(each in self._device.torch_events for each in both):
            raise ValueError("Both events must be completed before calculating elapsed time.")
        return 1e3 * (end._at - self._at)


class TorchGraph:
    """`torch.cuda.CUDAGraph`: what was called, to be called again on the same tensors."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []

    def replay(self) -> None:
        with torch.inference_mode():
            for function, args, kwargs, made in self.calls:
                again = function(*args, **kwargs)
                for old, new in zip(_tensors(made), _tensors(again), strict=True):
                    if old.data_ptr() != new.data_ptr():  # else it was written in its place, or is a view
                        old.copy_(new)


def _tensors(made: Any) -> list[torch.Tensor]:
    listed = made if isinstance(made, tuple | list) else (made,)
    return [each for each in listed if isinstance(each, torch.Tensor)]


class _Recording(TorchDispatchMode):
    def __init__(self, graph: TorchGraph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        made = function(*args, **(kwargs or {}))
        self._graph.calls.append((function, args, kwargs or {}, made))
        return made


@contextlib.contextmanager
def _graph(graph: TorchGraph, stream: Any = None, capture_error_mode: str = "global") -> Iterator[None]:
    """`torch.cuda.graph`."""
    assert stream is not None
    assert capture_error_mode in ("global", "thread_local", "relaxed")
    with _Recording(graph):
        yield


def _is_cuda(device: object) -> bool:
    return device is not None and torch.device(device).type == "cuda"  # type: ignore[arg-type]


def _without_cuda(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """Arguments of `to` without the device, and whether it was CUDA's."""
    if args and isinstance(args[0], str | torch.device) and _is_cuda(args[0]):
        return args[1:], kwargs, True
    if _is_cuda(kwargs.get("device")):
        return args, {name: value for name, value in kwargs.items() if name != "device"}, True
    return args, kwargs, False


def install(monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    """Let torch have this device."""

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        made = tensor.detach().clone().as_subclass(DeviceTensor)
        made.device_of = device
        return made

    exporting = torch.onnx.export
    inside: list[bool] = []  # PyTorch's own code asks, too, and would then use its CUDA

    def export(*args: Any, **kwargs: Any) -> Any:
        inside.append(True)
        try:
            return exporting(*args, **kwargs)
        finally:
            inside.pop()

    DeviceTensor.device_of = device
    _let_tensors_move(monkeypatch, moved)
    monkeypatch.setattr(torch.onnx, "export", export)
    monkeypatch.setattr(torch.Tensor, "cuda", moved)
    told = SimpleNamespace(name=device.name, uuid=UUID)
    for name, value in {
        "is_available": lambda: not inside, "get_device_name": lambda *_: device.name,
        "get_device_capability": lambda *_: device.capability, "get_device_properties": lambda *_: told,
        "Stream": lambda *_: TorchStream(device), "current_stream": lambda *_: None,
        "stream": lambda *_: contextlib.nullcontext(), "synchronize": lambda *_: device.torch_events.clear(),
        "Event": lambda enable_timing=False: TorchEvent(device, enable_timing), "CUDAGraph": TorchGraph,
        "graph": _graph,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)


_TO, _MODULE_TO = torch.Tensor.to, torch.nn.Module.to
_FACTORIES = {name: getattr(torch, name) for name in _MADE}


def _let_tensors_move(monkeypatch: pytest.MonkeyPatch, moved: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """To the device, or made there, or pinned; a module's weights stay plain, for its inputs decide."""

    def to(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        args, kwargs, there = _without_cuda(args, kwargs)
        made = _TO(tensor, *args, **kwargs) if args or kwargs else tensor
        return moved(made) if there else made

    def module_to(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        args, kwargs, _ = _without_cuda(args, kwargs)
        return _MODULE_TO(module, *args, **kwargs) if args or kwargs else module

    def factory(name: str) -> Callable[..., torch.Tensor]:
        def make(*args: Any, pin_memory: bool = False, **kwargs: Any) -> torch.Tensor:
            del pin_memory
            _, kwargs, there = _without_cuda((), kwargs)
            made = _FACTORIES[name](*args, **kwargs)
            return moved(made) if there else made

        return make

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.nn.Module, "to", module_to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    for name in _MADE:
        monkeypatch.setattr(torch, name, factory(name))
