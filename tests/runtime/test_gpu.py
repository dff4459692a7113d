"""The GPU backends on a GPU: the same pictures as the CPU's, from one thread, on lanes, and in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.runtime import Restorer
from nafnet.runtime.backends import REGISTRY, is_installed, presence
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.job import Job

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


def test_memory_that_does_not_suffice_halves_the_batch(photograph: NDArray[np.uint8]) -> None:
    """A batch of 4,096 tiles of 1,024 does not fit any GPU."""
    if not is_installed("torch-cuda"):
        pytest.skip("not installed")
    with Restorer.load(backend="torch-cuda", tile=1024, batch=4096) as restorer:
        large = np.tile(photograph, (60, 40, 1))
        assert restorer.restore(large).shape == large.shape
        assert restorer.batch < 4096
