"""The GPU backends on a GPU: the same pictures as the CPU's, from one thread, on lanes, and in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nafnet.architecture import NAFNet
from nafnet.checkpoint import save_checkpoint
from nafnet.runtime import Restorer
from nafnet.runtime.backends import REGISTRY, is_installed, presence
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.job import Job
from nafnet.spec import ModelSpec
from tests.conftest import TINY
from tests.export.conftest import nafnet_export

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not presence.cuda_devices(), reason="needs an NVIDIA GPU"),
]


@pytest.mark.parametrize("backend", ["onnxruntime-cuda", "torch-cuda"])
def test_gpu_gives_the_cpus_picture(backend: str, tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    if missing := REGISTRY[backend].absent() if is_installed(backend) else "not installed":
        pytest.skip(missing)
    large = np.tile(photograph, (6, 5, 1))
    Image.fromarray(large).save(tmp_path / "in.png")
    with Restorer.load(backend="onnxruntime") as restorer:
        expected = restorer.restore(large).astype(int)
    with Restorer.load(backend=backend, batch=4) as restorer:
        for _ in range(3):  # the third run of a shape is a graph
            assert np.abs(restorer.restore(large).astype(int) - expected).max() <= 1
        jobs = [Job(source=tmp_path / "in.png", target=tmp_path / f"out-{index}.png") for index in range(4)]
        rows = Pipeline(restorer, jobs).run()
    assert [row.status for row in rows] == ["restored"] * 4
    for job in jobs:
        assert np.abs(np.asarray(Image.open(job.target)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_a_plan_gives_the_cpus_picture(flavour: str, io: str, tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    """From nafnet-export through `Restorer`, on all GPUs of the machine."""
    entry = REGISTRY[flavour]
    if missing := entry.absent() if is_installed(flavour) else "not installed":
        pytest.skip(missing)
    network = NAFNet(TINY)
    with torch.no_grad():
        network.ending.weight *= 0.02  # as near to the input as a trained network's
        network.ending.bias *= 0.02
    spec = ModelSpec(architecture=TINY, multiple=4, train_patch=32, tile=64, task="denoise")
    save_checkpoint(tmp_path / "tiny.safetensors", dict(network.state_dict()), spec)
    words = ("--norm", "fused", "--io", io, "--batch", "1:2:4", "-o", "out")
    done = nafnet_export("tiny.safetensors", "--format", flavour, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    (plan,) = (tmp_path / "out").glob("*.plan")
    if flavour == "tensorrt-rtx" and "not run: no GPU for it is here" in done.stdout:
        pytest.skip("TensorRT-RTX has no target for this GPU")
    with Restorer.load(tmp_path / "tiny.safetensors", backend="torch") as restorer:
        expected = restorer.restore(photograph).astype(int)
    devices = ",".join(f"cuda:{number}" for number in range(presence.cuda_devices()))
    for device in dict.fromkeys(["cuda:0", devices]):
        said: list[str] = []
        with Restorer.load(plan, device=device, say=said.append) as restorer:
            assert restorer.backend.name == flavour
            for _ in range(4):  # by a graph as without
                assert np.abs(restorer.restore(photograph).astype(int) - expected).max() <= 1
        assert said == []


def test_memory_that_does_not_suffice_halves_the_batch(photograph: NDArray[np.uint8]) -> None:
    """Whatever the card has: PyTorch is allowed half a gigabyte more, which 64 tiles of 512 do not fit."""
    if not is_installed("torch-cuda"):
        pytest.skip("not installed")
    large = np.tile(photograph, (34, 23, 1))  # 8 x 8 tiles and more
    with Restorer.load(backend="torch-cuda", tile=512, batch=1) as restorer:
        allowed = torch.cuda.memory_reserved(0) + 2**29
        torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
        try:
            restorer.set_tiling(tile=512, overlap=16, batch=64)
            assert restorer.restore(large).shape == large.shape
            assert restorer.batch < 64
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
