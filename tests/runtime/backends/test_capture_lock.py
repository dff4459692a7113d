"""No garbage is collected while a graph is captured: it may hold memory of the device, whose end breaks the capture."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nafnet.runtime.backends.capture_lock import UNCOLLECTED, CaptureLock
from nafnet.runtime.backends.cuda_memory import Cuda, DeviceBuffer, PinnedBuffer, Stream
from nafnet.runtime.backends.pending import Pending
from nafnet.runtime.backends.torch_cuda import TorchLane
from tests.gpu_stand_in.machine import Machine


class Holder:
    """Memory of the device, in a circle that the collector alone finds."""

    def __init__(self, buffer: DeviceBuffer) -> None:
        self.me, self.buffer = self, buffer

    def __del__(self) -> None:
        self.buffer.free()


@pytest.fixture
def eager() -> Iterator[None]:
    """A collector that runs with almost each allocation."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)
    assert gc.isenabled()


@pytest.mark.usefixtures("eager")
def test_memory_in_the_garbage_breaks_no_capture(gpu: Machine) -> None:
    """The stand-in breaks where it is freed meanwhile."""
    cuda = Cuda(0)
    stream, pinned, buffer = Stream(cuda), PinnedBuffer(cuda, 64), DeviceBuffer(cuda, 64)
    held = DeviceBuffer(cuda, 64)
    with stream.captured():
        Holder(held)
        stream.copy_in(buffer, pinned, 64)
        assert [[number] for number in range(100)][-1] == [99]
    assert gc.isenabled()
    stream.replay()
    stream.wait()
    stream.close()
    pinned.free()
    buffer.free()
    gc.collect()
    assert gpu.device.held == [], "collected later"


def test_an_error_within_lets_the_collector_go_on(gpu: Machine) -> None:
    assert gpu.device.broken == []
    stream = Stream(Cuda(0))
    with contextlib.suppress(ValueError), stream.captured():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
    stream.close()


def test_the_collector_goes_on_after_the_last_capture_alone() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def capture() -> None:
        with CaptureLock().alone():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=capture)
    with UNCOLLECTED:
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled(), "another captures still"
    go_on.set()
    thread.join()
    assert gc.isenabled()
    gc.disable()
    try:
        with UNCOLLECTED:
            pass
        assert not gc.isenabled(), "whoever had turned it off finds it so"
    finally:
        gc.enable()


def test_pytorchs_capture_holds_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[bool] = []

    class Graph:
        def replay(self) -> None:
            states.append(gc.isenabled())

    @contextlib.contextmanager
    def capturing(*_: Any, **__: Any) -> Iterator[None]:
        states.append(gc.isenabled())
        yield

    stream = SimpleNamespace(synchronize=lambda: None)
    empty = torch.empty
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    monkeypatch.setattr(torch, "empty", lambda shape, **_: empty(shape))
    lane = TorchLane(torch.nn.Identity(), torch.device("cpu"))
    for _ in range(3):
        lane.start(Pending.of(np.zeros((1, 3, 16, 16), np.float32), "float32"))
    assert states == [False, True]
