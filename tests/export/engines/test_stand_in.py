"""What is built on a GPU, which the stand-in plays: what earlier builds measured, and what the layers are."""

from __future__ import annotations

from pathlib import Path

import pytest

from nafnet.checkpoint import Checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.engines.builder import Built, EngineSettings, build
from nafnet.export.exporter import export
from nafnet.files import cache_folder
from nafnet.parity import Precision
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.machine import Machine

BOX = (1, 3, 8, 8), (2, 3, 64, 64), (4, 3, 96, 96)


def built(gpu: Machine, checkpoint: Checkpoint, precision: Precision = "fp32") -> Built:
    exported = export(checkpoint, ExportOptions(verify=False, norm="fused", precision=precision))
    return build(gpu.trt, "tensorrt", exported.model.SerializeToString(), exported.spec, BOX, EngineSettings())


def timings() -> Path:
    (path,) = cache_folder("timing").glob("*.cache")
    return path


@pytest.mark.parametrize("kept", [b"damaged", b'["another GPU", "measured"]'], ids=["damaged", "another"])
def test_timings_that_cannot_be_used_are_measured_anew(
    kept: bytes, gpu: Machine, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    built(gpu, checkpoint)
    measured = timings().read_bytes()
    assert gpu.device.name.encode() in measured
    timings().write_bytes(kept)
    built(gpu, checkpoint)
    assert timings().read_bytes() == measured


def test_an_engine_of_one_fused_layer_is_judged_by_its_network(gpu: Machine, checkpoint: Checkpoint) -> None:
    """Its one layer ends in fp32, as the graph does."""
    engine = built(gpu, checkpoint, "fp16").engine
    assert (engine.layers, engine.layers_read_from) == ({"Float": 1.0}, "engine")


def test_what_the_plan_says_of_the_gpu(gpu: Machine, checkpoint: Checkpoint) -> None:
    assert built(gpu, checkpoint).engine.device == "NVIDIA H100 80GB HBM3 (SM90)"
    gpu.use(Device("NVIDIA GeForce RTX 4090", (8, 9)))
    assert built(gpu, checkpoint).engine.device == "NVIDIA GeForce RTX 4090 (SM89)"
