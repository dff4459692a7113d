"""PyTorch's lanes on the GPU that is not there: graphs, and what the device takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.runtime.backends.base import Model
from nafnet.runtime.backends.torch_cpu import TorchBackend
from nafnet.runtime.backends.torch_cuda import TorchCudaBackend
from nafnet.spec import ModelSpec
from tests.conftest import TINY
from tests.streaming import streamed


@pytest.mark.usefixtures("gpu")
def test_half_by_graphs_and_the_devices_time(tiny_network: NAFNet, tmp_path: Path) -> None:
    with torch.no_grad():
        tiny_network.ending.weight *= 0.02
        tiny_network.ending.bias *= 0.02
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, dict(tiny_network.state_dict()), ModelSpec(architecture=TINY, multiple=4))
    model = Model(path=path, spec=load_checkpoint(path).spec)
    batches = [np.random.default_rng(seed).random((2, 3, 32, 32), np.float32) for seed in range(8)]
    with TorchBackend(model, 1) as exact, TorchCudaBackend(model, None, "cuda:0") as backend:
        for given, made in zip(batches, streamed(backend, batches), strict=True):
            assert np.abs(made - exact(given)).max() < 1e-3
        found = backend.device_time(batches[0], 3)
        assert found.clock == "events"
        assert min(found.compute, found.copies) > 0
