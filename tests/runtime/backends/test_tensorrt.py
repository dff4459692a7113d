"""Plans from nafnet-export to a restored picture, on a GPU that the stand-in plays."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.checkpoint import save_checkpoint
from nafnet.errors import BackendError, ModelError, UsageError
from nafnet.planfile import inspect_plan
from nafnet.runtime import Restorer
from nafnet.spec import ModelSpec
from tests.conftest import TINY
from tests.export.conftest import nafnet_export
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.machine import Machine
from tests.streaming import streamed

Export = Callable[..., Path]
A100 = ("NVIDIA A100-SXM4-80GB", (8, 0))
RTX4090 = ("NVIDIA GeForce RTX 4090", (8, 9))
TURING = ("Tesla T4", (7, 5))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[object, tuple[Path, str]]:
    """What was exported before, and what was said of it."""
    return {"folder": (tmp_path_factory.mktemp("exports"), "")}


@pytest.fixture
def export(gpu: Machine, tiny_network: NAFNet, tmp_path: Path, exports: dict[object, tuple[Path, str]]) -> Export:
    """nafnet-export of a tiny network with these options; gives the plan, alone with its spec."""
    spec = ModelSpec(architecture=TINY, multiple=4, train_patch=32, tile=64, task="denoise")
    with torch.no_grad():
        tiny_network.ending.weight *= 0.02  # its results are then as near to the input as a trained network's
        tiny_network.ending.bias *= 0.02
    folder = exports["folder"][0]
    save_checkpoint(folder / "tiny.safetensors", dict(tiny_network.state_dict()), spec)

    def run(*words: str) -> Path:
        key = (gpu.device.name, words)
        if key not in exports:
            out = f"{len(exports)}"
            done = nafnet_export("tiny.safetensors", "--norm", "fused", "-o", out, *words, cwd=folder)
            assert done.returncode == 0, done.stderr + done.stdout
            exports[key] = folder / out, done.stdout
        for file in (folder / "tiny.safetensors", *exports[key][0].glob("*.plan*")):
            shutil.copy(file, tmp_path)
        (plan,) = tmp_path.glob("*.plan")
        return plan

    return run


def even(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As many rows and columns as tiles of 64 that share 16 cover: a CPU, which fits tiles to the picture, takes the
    same."""
    return np.ascontiguousarray(photograph[:112, :160])


def restored(model: Path, pixels: NDArray[np.uint8], **options: object) -> NDArray[np.uint8]:
    with Restorer.load(model, **options) as restorer:  # type: ignore[arg-type]
        pictures = [restorer.restore(pixels) for _ in range(4)]
    assert all(np.array_equal(one, pictures[0]) for one in pictures), "by a graph as without"
    return pictures[0]


@pytest.mark.parametrize(("words", "io"), [((), "float32"), (("--io", "uint8"), "uint8")])
def test_a_plan_gives_the_cpus_picture(
    words: tuple[str, ...], io: str, gpu: Machine, export: Export, photograph: NDArray[np.uint8]
) -> None:
    plan = export("--format", "tensorrt", *words)
    spec = inspect_plan(plan)
    assert spec.engine is not None
    assert (spec.engine.device, spec.io) == ("NVIDIA H100 80GB HBM3 (SM90)", io)
    assert spec.parity is not None
    assert spec.parity.ran_on == ("tensorrt",)
    photograph = even(photograph)
    on_cpu = restored(plan.with_name("tiny.safetensors"), photograph, backend="torch", overlap=16)
    said: list[str] = []
    on_gpu = restored(plan, photograph, overlap=16, say=said.append)
    assert np.abs(on_gpu.astype(int) - on_cpu).max() <= 1
    assert gpu.device.replays > 0
    assert said == []
    assert gpu.device.held == []


def test_fp32_is_not_tf32(gpu: Machine, export: Export) -> None:
    """On by default, and 60 dB from fp32 at best: the gate refuses it."""
    spec = inspect_plan(export("--format", "tensorrt"))
    assert spec.parity is not None
    assert spec.parity.psnr > 120
    assert gpu.device.capability >= (8, 0)


@pytest.mark.parametrize(
    ("device", "version", "words", "loads"),
    [
        (("NVIDIA H100 80GB HBM3", (9, 0)), "10.14.1", (), "built by tensorrt 10.13.3.9, here is 10.14.1"),
        (("NVIDIA H100 80GB HBM3", (9, 0)), "10.14.1", ("--version-compatible",), None),
        (("NVIDIA H100 80GB HBM3", (9, 0)), "10.12.0", ("--version-compatible",), "here is 10.12.0"),
        (("NVIDIA H100 80GB HBM3", (9, 0)), "11.0.0", ("--version-compatible",), "here is 11.0.0"),
        (A100, "10.13.3.9", (), r"built on NVIDIA H100 80GB HBM3 \(SM90\), here is NVIDIA A100-SXM4-80GB \(SM80\)"),
        (A100, "10.13.3.9", ("--hardware-compatible",), None),
        (TURING, "10.13.3.9", ("--hardware-compatible",), r"here is Tesla T4 \(SM75\)"),
        (A100, "10.14.1", ("--hardware-compatible", "--version-compatible"), None),
    ],
)
def test_a_plan_loads_where_it_may(
    device: tuple[str, tuple[int, int]], version: str, words: tuple[str, ...], loads: str | None,
    gpu: Machine, export: Export, photograph: NDArray[np.uint8],
) -> None:  # fmt: skip
    plan = export("--format", "tensorrt", "--no-verify", *words)
    gpu.use(Device(*device), version)
    if loads is None:
        assert restored(plan, photograph).shape == photograph.shape
    else:
        with pytest.raises(ModelError, match=loads):
            Restorer.load(plan)


def test_a_tile_that_the_plan_does_not_take_is_refused_at_load(export: Export) -> None:
    plan = export("--format", "tensorrt", "--batch", "1:2:4", "--no-verify")
    largest = inspect_plan(plan).engine.profiles[0][2][2]  # type: ignore[union-attr]
    with pytest.raises(UsageError, match=rf"--tile 512: tiny-fused-unverified\.plan takes at most {largest}x{largest}"):
        Restorer.load(plan, tile=512)
    with pytest.raises(UsageError, match=r"--whole: tiny-fused-unverified\.plan takes at most"):
        Restorer.load(plan, whole=True)
    with pytest.raises(BackendError, match=r"batch 5: .*at most 4"):
        Restorer.load(plan, batch=5)


def test_shapes_that_change_move_no_buffer_and_the_last_batch_is_filled_up(
    gpu: Machine, export: Export, photograph: NDArray[np.uint8]
) -> None:
    plan = export("--format", "tensorrt", "--batch", "1:2:4", "--no-verify")
    with Restorer.load(plan) as restorer:
        restorer.restore(photograph)
        taken = len(gpu.device.allocations)
        for height, width in ((64, 64), (40, 64), (64, 40), (64, 64), (120, 180), (64, 64)) * 2:
            restorer.restore(photograph[:height, :width])
        assert len(gpu.device.allocations) == taken, "buffers of the largest shape serve all"
        before = gpu.device.replays
        generator = np.random.default_rng(0)
        batches = [generator.random((count, 3, 64, 64), np.float32) for count in (4, 4, 4, 4, 3, 1, 4)]
        results = streamed(restorer.backend, batches)
        assert [len(made) for made in results] == [len(given) for given in batches]
        assert gpu.device.replays >= before + 5
        for given, made in zip(batches, results, strict=True):
            assert np.array_equal(made, restorer.backend(given))


def test_a_capture_that_fails_is_said_once(gpu: Machine, export: Export, photograph: NDArray[np.uint8]) -> None:
    plan = export("--format", "tensorrt", "--no-verify")
    gpu.device.refuses_capture = True
    said: list[str] = []
    restored(plan, photograph, say=said.append)
    assert len([line for line in said if "without a CUDA graph" in line]) == 1
    assert gpu.device.replays == 0


def test_a_second_context_that_does_not_fit_leaves_one_lane(
    gpu: Machine, export: Export, photograph: NDArray[np.uint8]
) -> None:
    plan = export("--format", "tensorrt", "--batch", "1:1:1", "--no-verify")
    shape = inspect_plan(plan).engine.profiles[0][2]  # type: ignore[union-attr]
    context = 8 * 4 * int(np.prod(shape))
    gpu.use(Device(memory=context + context // 2))
    said: list[str] = []
    assert restored(plan, photograph, say=said.append).shape == photograph.shape
    assert len([line for line in said if "one batch at a time" in line]) == 1
    gpu.use(Device(memory=context // 2))
    with pytest.raises(BackendError, match="no execution context"):
        Restorer.load(plan)


def test_rtx_captures_by_itself_and_keeps_what_it_compiled(
    gpu: Machine, export: Export, photograph: NDArray[np.uint8]
) -> None:
    gpu.use(Device(*RTX4090))
    plan = export("--format", "tensorrt-rtx")
    spec = inspect_plan(plan)
    assert spec.parity is not None
    assert spec.parity.ran_on == ("tensorrt-rtx",)
    photograph = even(photograph)
    on_cpu = restored(plan.with_name("tiny.safetensors"), photograph, backend="torch", overlap=16)
    gpu.device.compilations = 0
    on_gpu = restored(plan, photograph, overlap=16)
    assert np.abs(on_gpu.astype(int) - on_cpu).max() <= 1
    first = gpu.device.compilations
    assert first > 0
    gpu.use(Device(*RTX4090))
    assert np.array_equal(restored(plan, photograph, overlap=16), on_gpu)
    assert gpu.device.compilations == 0, f"{first} at the first start"
    other = gpu.use(Device("NVIDIA GeForce RTX 3060", (8, 6)))
    assert np.array_equal(restored(plan, photograph, overlap=16), on_gpu)
    assert other.compilations == first, "of another GPU nothing was kept"


@pytest.mark.parametrize("device", [("NVIDIA H100 80GB HBM3", (9, 0)), TURING], ids=["h100", "turing"])
def test_rtx_plans_for_other_gpus_are_written_unrun(
    device: tuple[str, tuple[int, int]], gpu: Machine, export: Export, exports: dict[object, tuple[Path, str]]
) -> None:
    gpu.use(Device(*device))
    plan = export("--format", "tensorrt-rtx")
    spec = inspect_plan(plan)
    assert spec.engine is not None
    assert spec.parity is not None
    assert "tensorrt-rtx" not in spec.parity.ran_on
    assert device[0] not in spec.engine.device
    assert "not run: no GPU for it is here" in exports[device[0], ("--format", "tensorrt-rtx")][1]
    with pytest.raises(ModelError, match="cannot load it on this GPU"):
        Restorer.load(plan)


def test_two_plans_of_one_process_share_a_logger(export: Export, photograph: NDArray[np.uint8]) -> None:
    plan = export("--format", "tensorrt", "--no-verify")
    for _ in range(2):
        restored(plan, photograph)


def test_a_plan_says_for_what_it_is_compatible(export: Export) -> None:
    engine = inspect_plan(export("--format", "tensorrt", "--no-verify", "--version-compatible")).engine
    assert engine is not None
    assert (engine.version_compatible, engine.hardware_compatible) == (True, False)
    assert dataclasses.replace(engine, hardware_compatible=True) != engine
