"""--pad, --opset and what a file says of itself: read by ONNX Runtime alone, against PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nafnet.checkpoint import Checkpoint
from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export
from nafnet.runtime.engine.restorer import Restorer
from nafnet.spec import WireType


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 64), (33, 50), (4, 63)])
def test_a_padded_graph_takes_any_size(size: tuple[int, int], checkpoint: Checkpoint) -> None:
    exported = export(checkpoint, ExportOptions(pad=True, verify=False))
    assert exported.spec.multiple == 1
    image = np.random.default_rng(0).random((2, 3, *size), np.float32)
    with torch.inference_mode():
        expected = checkpoint.build()(torch.from_numpy(image)).numpy()
    (given,) = session(exported.model).run(None, {"image": image})
    np.testing.assert_allclose(given, expected, atol=1e-5, rtol=0)


def test_the_gate_compares_sizes_that_need_padding(checkpoint: Checkpoint) -> None:
    exported = export(checkpoint, ExportOptions(pad=True))
    assert exported.verification is not None
    odd = {row.shape[2:] for row in exported.verification.rows if row.shape[2] % 4 and row.shape[3] % 4}
    assert len(odd) >= 2, "the smallest, and one of about a tile"


@pytest.mark.parametrize("io", ["uint8", "float16"])
def test_padding_stands_before_any_border(io: WireType, checkpoint: Checkpoint) -> None:
    exported = export(checkpoint, ExportOptions(pad=True, io=io, verify=False))
    shape = (1, 7, 9, 3) if io == "uint8" else (1, 3, 7, 9)
    image = np.full(shape, 100, np.uint8) if io == "uint8" else np.full(shape, 0.4, np.float16)
    (given,) = session(exported.model).run(None, {"image": image})
    assert (given.shape, given.dtype) == (image.shape, image.dtype)


def test_a_padded_file_restores_photographs(checkpoint: Checkpoint, tmp_path: Path) -> None:
    exported = export(checkpoint, ExportOptions(pad=True))
    path = tmp_path / "pad.onnx"
    path.write_bytes(exported.model.SerializeToString())
    image = np.random.default_rng(0).random((45, 51, 3), np.float32)
    with torch.inference_mode():
        planes = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
        expected = checkpoint.build()(planes)[0].numpy().transpose(1, 2, 0)
    with Restorer.load(path) as restorer:
        np.testing.assert_allclose(restorer.restore(image), expected, atol=1e-4)


def test_pad_and_tile_exclude_one_another(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="choose one"):
        export(checkpoint, ExportOptions(pad=True, tile=64))


@pytest.mark.parametrize(("opset", "format_version"), [(None, 9), (18, 8), (22, 10)])
def test_opset_is_the_one_asked_for(opset: int | None, format_version: int, checkpoint: Checkpoint) -> None:
    """And the file asks for no later version of the format than that: what reads the operators reads the file."""
    model = export(checkpoint, ExportOptions(opset=opset, verify=False)).model
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset or 20)]
    assert model.ir_version == format_version


def test_an_opset_without_bfloat16_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match="needs opset 22"):
        export(checkpoint, ExportOptions(precision="bf16", opset=20))


def test_the_file_says_what_it_takes(checkpoint: Checkpoint) -> None:
    said = {
        options: export(checkpoint, ExportOptions(verify=False, **dict(options))).model.doc_string  # type: ignore[arg-type]
        for options in ((), (("tile", 64),), (("pad", True), ("io", "uint8")))
    }
    assert [text.partition("Input and output: ")[2] for text in said.values()] == [
        "float32[N,C,H,W], 0 to 1, RGB; H and W multiples of 4.",
        "float32[N,C,H,W], 0 to 1, RGB; H and W 64 each.",
        "uint8[N,H,W,C], 0 to 255, RGB; H and W of any size.",
    ]
