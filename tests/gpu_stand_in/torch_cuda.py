"""What torch says of CUDA, and its memory there, as far as the gate's runner uses them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.gpu_stand_in.device import Device, Stream


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
        made = super().__torch_function__(function, types, args, kwargs or {})
        if function is torch.empty_like:
            torch.Tensor.fill_(made, float("nan") if made.is_floating_point() else 255)
        return made


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
    monkeypatch.setattr(torch.onnx, "export", export)
    monkeypatch.setattr(torch.Tensor, "cuda", moved)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: not inside)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: device.name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: device.capability)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: TorchStream(device))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
