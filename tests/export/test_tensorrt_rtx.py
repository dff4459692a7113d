"""Both forms of the norm parse and build with NVIDIA's TensorRT-RTX, whose compiler needs no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from nafnet.export.exporter import export_onnx

from nafnet.checkpoint import load_checkpoint
from nafnet.pretrained import bundled_model
from nafnet.spec import Norm

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64")


@pytest.mark.parametrize("norm", ["conv", "fused"])
def test_bundled_model_builds(norm: Norm, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(load_checkpoint(bundled_model(".safetensors")), path, norm=norm)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(path.read_bytes())
    assert parsed, [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 3, 16, 16), (4, 3, 256, 256), (8, 3, 384, 384))
    config.add_optimization_profile(profile)
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    assert plan.nbytes > 1_000_000, "the weights alone are 7 MB in fp32"
