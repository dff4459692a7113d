"""Artefacts that take and give bytes or half, as graphs and in the runtime."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import NafnetError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export
from nafnet.export.gate.executors import in_onnxruntime, in_openvino
from nafnet.export.network.graph import to_onnx
from nafnet.files import write_whole
from nafnet.runtime import Restorer
from nafnet.spec import ModelSpec, WireType
from nafnet.wire import from_wire, to_wire

Bytes = NDArray[np.uint8]


def session(model: object) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]


def rounded(planes: NDArray[np.float32]) -> Bytes:
    """float32[N,C,H,W] as 8-bit files hold it."""
    return np.clip(np.rint(planes * np.float32(255)), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def planes(pixels: Bytes) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) * np.float32(1 / 255)


def test_every_byte_comes_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    model = to_onnx(nn.Identity(), 3, 4, wire="uint8")
    np.testing.assert_array_equal(session(model).run(None, {"image": values})[0], values)


class Overflowing(nn.Module):
    """Gives its input back, but no number in place of white."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.log(1 - image) * 0 + image


@pytest.mark.parametrize("library", ["onnxruntime", "openvino"])
def test_bytes_that_are_no_numbers_are_all_zeros(library: str) -> None:
    """In the image that has one alone."""
    values = np.full((3, 16, 16, 3), 100, np.uint8)
    values[1, 3, 4, 2] = 255
    model = to_onnx(Overflowing(), 3, 4, wire="uint8")
    run = in_onnxruntime if library == "onnxruntime" else partial(in_openvino, precision="f32")
    made = to_wire(run(model.SerializeToString(), ModelSpec(io="uint8"))(from_wire(values, "uint8")), "uint8")
    assert not made[1].any()
    assert (made[[0, 2]] == 100).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_bytes_are_the_float_graph_rounded(precision: str, checkpoint: Checkpoint, photograph: Bytes) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    wires: tuple[WireType, ...] = ("float32", "uint8")
    options = (ExportOptions(precision=precision, io=wire, verify=False) for wire in wires)  # type: ignore[arg-type]
    plain, bytes_ = (session(export(checkpoint, option).model) for option in options)
    for pixels in (values, photograph[None]):
        (expected,) = plain.run(None, {"image": planes(pixels)})
        (given,) = bytes_.run(None, {"image": pixels})
        assert given.dtype == np.uint8
        np.testing.assert_array_equal(given, rounded(expected))


@pytest.mark.parametrize("wire", ["float32", "float16", "uint8"])
def test_wire_and_back(wire: WireType) -> None:
    batch = planes(np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.uint8))
    there = to_wire(batch, wire)
    assert there.shape == ((2, 5, 7, 3) if wire == "uint8" else (2, 3, 5, 7))
    np.testing.assert_allclose(from_wire(there, wire), batch, atol={"float32": 0, "float16": 5e-4, "uint8": 1e-7}[wire])


@pytest.fixture(scope="module")
def files(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One export of each border, and one of a fixed size."""
    folder, loaded = tmp_path_factory.mktemp("wires"), load_checkpoint(checkpoint_path)
    variants = {
        "float32": ExportOptions(),
        "float16": ExportOptions(io="float16"),
        "uint8": ExportOptions(io="uint8"),
        "fixed": ExportOptions(io="uint8", tile=64),
    }
    for name, options in variants.items():
        write_whole(folder / f"{name}.onnx", export(loaded, options).model.SerializeToString())
    return {name: folder / f"{name}.onnx" for name in variants}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["float16", "uint8", "fixed"])
def test_runtime_obeys_the_spec(
    name: str, backend: str, files: dict[str, Path], photograph: Bytes, checkpoint_path: Path
) -> None:
    """On one tile, where nothing is blended: the same bytes, but for what is a tie to fp32, or to half, and may go
    either way."""
    tile = photograph[:64, :64]
    with torch.inference_mode():
        exact = load_checkpoint(checkpoint_path).build()(torch.from_numpy(planes(tile[None]))).numpy()
    from_tie = np.abs(np.abs(exact[0].transpose(1, 2, 0) * 255 % 1) - 0.5)
    with Restorer.load(files["float32"], backend=backend) as plain:
        expected = plain.restore(tile)
    with Restorer.load(files[name], backend=backend) as restorer:
        given = restorer.restore(tile)
        assert restorer.restore(photograph).shape == photograph.shape
        assert restorer.restore(photograph[:10, :5]).shape == (10, 5, 3)
    other = given != expected
    assert np.abs(given.astype(int) - expected).max() <= 1
    assert from_tie[other].max(initial=0) < (0.2 if name == "float16" else 1e-3)


def test_runtime_does_not_drop_bits_in_silence(files: dict[str, Path], photograph: Bytes) -> None:
    with (
        Restorer.load(files["uint8"], backend="onnxruntime") as restorer,
        pytest.raises(NafnetError, match="takes and gives 8 bits"),
    ):
        restorer.restore(photograph.astype(np.uint16) * 257)


def test_fixed_size_takes_no_other_tile(files: dict[str, Path]) -> None:
    with pytest.raises(NafnetError, match="tiles of 64 alone"):
        Restorer.load(files["fixed"], tile=128)
