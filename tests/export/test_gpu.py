"""What only a GPU can tell: half there against the gate, and engines that are run and not just built."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nafnet.checkpoint import Checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.engines.plan import build_verified
from nafnet.export.exporter import export
from nafnet.export.gate.cases import picture
from nafnet.export.gate.parity import compare
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import amplifying, residual_peaks, scaled

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("target", [None, 175.0, 1000.0])
def test_half_on_the_gpu_is_within_the_gate(dtype: torch.dtype, target: float | None, checkpoint: Checkpoint) -> None:
    network, batch = checkpoint.build(), picture(2, 3, 128, 96)
    if target:
        network = scaled(network, amplifying(residual_peaks(network, [batch]), target), keep_epsilon=True)
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
        module = InferenceNAFNet(network, "fused", dtype=dtype).cuda()
        given = module(torch.from_numpy(batch).cuda()).cpu().numpy()
    precision = "fp16" if dtype == torch.float16 else "bf16"
    assert compare("picture", "CUDA", given, expected, precision).refused is None  # type: ignore[arg-type]


@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx_bindings"])
@pytest.mark.parametrize("io", ["float32", "uint8"])
def test_engine_runs_within_the_gate(module: str, io: str, checkpoint: Checkpoint) -> None:
    trt = pytest.importorskip(module)
    if module != "tensorrt" and torch.cuda.get_device_capability() == (9, 0):
        pytest.skip("TensorRT-RTX has no target SM90")
    options = ExportOptions(precision="fp16", io=io, batch=(1, 2, 4))  # type: ignore[arg-type]
    exported = export(checkpoint, options)
    notes: list[str] = []
    flavour = "tensorrt" if module == "tensorrt" else "tensorrt-rtx"
    plan, spec = build_verified(trt, flavour, exported, EngineSettings(), notes.append)
    assert len(plan) > 10_000
    assert spec.parity is not None
    assert spec.parity.ran_on == (flavour,)
    assert spec.engine is not None
    # An engine whose one fused layer gives no type says nothing of itself: then the network's are told.
    assert spec.engine.layers_read_from in ("engine", "network")
    assert "Half" in spec.engine.layers or spec.engine.layers_read_from == "engine"
    assert np.isfinite(spec.parity.psnr)
    assert "run and compared" in notes[-1]
