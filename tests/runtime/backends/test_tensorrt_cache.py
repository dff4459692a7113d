"""TensorRT-RTX's cache of compiled kernels: kept after the contexts are gone, and no fault where it is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from nafnet.files import cache_folder
from nafnet.planfile import inspect_plan
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.tensorrt_engine import TensorRtRtxBackend
from nafnet.spec import Engine, ModelSpec
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.machine import Machine
from tests.gpu_stand_in.plan import Header, pack
from tests.runtime.backends.test_cuda_code import batch, halving
from tests.streaming import streamed

Shape = tuple[int, ...]
PROFILE: tuple[Shape, Shape, Shape] = ((1, 3, 16, 16), (2, 3, 32, 32), (4, 3, 64, 64))


@pytest.fixture
def plan(gpu: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of TensorRT-RTX for the GPU at hand, with its spec."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    gpu.use(Device("NVIDIA GeForce RTX 4090", (8, 9)))
    version = gpu.rtx.__version__
    header = Header(library="tensorrt-rtx", version=version, device=gpu.device.name, profile=PROFILE, targets=("SM89",))
    path = tmp_path / "net-rtx.plan"
    path.write_bytes(pack(header, halving()))
    engine = Engine(
        flavour="tensorrt-rtx", version=version, device="SM89", profiles=(PROFILE,), layers={"Float": 1.0},
        layers_read_from="network", plan_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    path.with_name(f"{path.name}.json").write_text(ModelSpec(engine=engine).to_json(), encoding="utf-8")
    return path


def run(plan: Path) -> list[str]:
    """Restore a few batches; gives what was told."""
    told: list[str] = []
    with TensorRtRtxBackend(Model(path=plan, spec=inspect_plan(plan)), None, "cuda:0") as backend:
        backend.listen(told.append)
        given = [batch(2, 32, seed) for seed in range(5)]
        for one, restored in zip(given, streamed(backend, given), strict=True):
            assert np.array_equal(restored, one * np.float32(0.5))
    return told


def kept() -> list[Path]:
    return list(cache_folder("tensorrt-rtx").glob("*.kernels"))


def test_kernels_are_kept_once_the_contexts_are_gone(plan: Path, gpu: Machine) -> None:
    """The stand-in breaks where they are serialised before."""
    assert run(plan) == []
    assert len(kept()) == 1
    compiled = gpu.device.compilations
    assert compiled > 0
    run(plan)
    assert gpu.device.compilations == compiled
    assert gpu.device.held == []


@pytest.mark.parametrize("call", ["create", "set", "serialize"])
def test_a_cache_that_is_refused_is_no_fault(
    call: Literal["create", "set", "serialize"], plan: Path, gpu: Machine
) -> None:
    gpu.device.refuses_cache = call
    told = run(plan)
    assert kept() == []
    assert ["takes no cache of kernels" in line for line in told] == [True] * (call != "serialize")
    assert gpu.device.held == []
