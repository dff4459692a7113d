"""One plan on two GPUs, each of which the stand-in lets nobody touch but a thread that has chosen it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nafnet.errors import BackendError
from nafnet.runtime.backends.cuda_memory import Cuda
from nafnet.runtime.backends.lanes import SeveralDevices
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.tensorrt_engine import TensorRtBackend
from nafnet.spec import Engine, ModelSpec
from tests.gpu_stand_in.machine import Machine
from tests.gpu_stand_in.plan import Header, pack
from tests.runtime.backends.test_cuda_code import batch, halving
from tests.streaming import streamed

Shape = tuple[int, ...]
PROFILE: tuple[Shape, Shape, Shape] = ((1, 3, 16, 16), (2, 3, 32, 32), (4, 3, 64, 64))


def backends(gpu: Machine, folder: Path) -> list[TensorRtBackend]:
    """The same plan on each device."""
    version = gpu.trt.__version__
    path = folder / "net.plan"
    path.write_bytes(
        pack(Header(library="tensorrt", version=version, device=gpu.device.name, profile=PROFILE), halving())
    )
    engine = Engine(
        flavour="tensorrt", version=version, device=str(Cuda(0).gpu), profiles=(PROFILE,), layers={"Float": 1.0},
        layers_read_from="network", plan_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    model = Model(path=path, spec=ModelSpec(engine=engine))
    return [TensorRtBackend(model, None, f"cuda:{number}") for number in range(2)]


def test_both_restore_and_give_back_what_they_took(gpu: Machine, tmp_path: Path) -> None:
    given = [batch(2, 32, seed) for seed in range(40)]
    with SeveralDevices([*backends(gpu, tmp_path)]) as backend:
        assert np.array_equal(backend(given[0]), given[0] * np.float32(0.5)), "a single call goes to the first"
        for _ in range(2):
            for one, restored in zip(given, streamed(backend, given), strict=True):
                assert np.array_equal(restored, one * np.float32(0.5))
        for part in backend.parts:
            assert np.array_equal(part(given[1]), given[1] * np.float32(0.5))
    for device in (gpu.device, gpu.second):
        assert device.replays > 20
        assert device.held == []
        assert device.streams == {}


def test_a_device_that_does_not_close_keeps_nothing_of_the_other(gpu: Machine, tmp_path: Path) -> None:
    several = SeveralDevices([*backends(gpu, tmp_path)])
    streamed(several, (batch(2, 32, seed) for seed in range(8)))
    for stream in gpu.second.streams.values():
        stream.capture, stream.mode = [], "relaxed"  # as one that somebody left recording
    with pytest.raises(BackendError, match="cudaStreamSynchronize on device 1: cudaErrorStreamCaptureUnsupported"):
        several.close()
    assert (gpu.device.held, gpu.second.held) == ([], [])
    assert (gpu.device.streams, gpu.second.streams) == ({}, {})
