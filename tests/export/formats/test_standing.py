"""Exports of one name: those of other weights are not replaced in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.errors import ParityError
from nafnet.export.attempts import attempt
from nafnet.onnxfile import inspect_onnx
from tests.export.conftest import nafnet_export


@pytest.fixture
def two(checkpoint_path: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two checkpoints of one name, of other weights."""
    paths = (tmp_path / "a" / "net.safetensors", tmp_path / "b" / "net.safetensors")
    for path in paths:
        path.parent.mkdir()
    shutil.copy(checkpoint_path, paths[0])
    loaded = load_checkpoint(checkpoint_path)
    others = {name: tensor + torch.randn_like(tensor) * 0.01 for name, tensor in loaded.state_dict.items()}
    save_checkpoint(paths[1], others, loaded.spec.replace(weights_sha256=None))
    return paths


def test_another_checkpoint_of_one_name_replaces_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = two
    assert nafnet_export(first, "-o", "out", "--no-verify", cwd=tmp_path).returncode == 0
    path = tmp_path / "out" / "net-unverified.onnx"
    before = path.read_bytes()
    refused = nafnet_export(second, "-o", "out", "--no-verify", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is an export of other weights, or another form, of this name" in refused.stderr.splitlines()[-1]
    assert path.read_bytes() == before
    assert nafnet_export(first, "-o", "out", "--no-verify", cwd=tmp_path).returncode == 0, "the same weights may"
    assert nafnet_export(second, "-o", "out", "--no-verify", "--overwrite", cwd=tmp_path).returncode == 0
    assert inspect_onnx(path).weights_sha256 == load_checkpoint(second).spec.weights_sha256


def test_a_foreign_file_is_not_replaced(checkpoint_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "small-unverified.onnx"
    path.write_bytes(b"somebody's")
    refused = nafnet_export(checkpoint_path, "--no-verify", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is a file of another origin of this name" in refused.stderr.splitlines()[-1]
    assert path.read_bytes() == b"somebody's"


def test_after_a_refusal_the_older_file_is_named(
    checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nafnet_export(checkpoint_path, "--norm", "fused", cwd=tmp_path).returncode == 0
    monkeypatch.setattr(attempt.Verification, "passed", False)
    monkeypatch.setattr(attempt.Verification, "refusal", lambda _: ParityError("refused for the test"))
    refused = nafnet_export(checkpoint_path, "--norm", "fused", cwd=tmp_path)
    assert refused.returncode == 3
    assert "small-fused.onnx: of an earlier export; it stays as it is" in refused.stdout + refused.stderr


def test_another_form_of_the_same_weights_replaces_nothing(checkpoint_path: Path, tmp_path: Path) -> None:
    """net.safetensors in fp16 and net-fp16.safetensors in fp32 have one name."""
    for name in ("net", "net-fp16"):
        shutil.copy(checkpoint_path, tmp_path / f"{name}.safetensors")
    words = ("--no-verify", "--pad")
    assert nafnet_export("net.safetensors", "--fp16", *words, cwd=tmp_path).returncode == 0
    assert (tmp_path / "net-fp16-pad-unverified.onnx").exists()
    refused = nafnet_export("net-fp16.safetensors", *words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "another form" in refused.stderr.splitlines()[-1]


def test_a_folder_of_that_name_is_said_before_the_work(checkpoint_path: Path, tmp_path: Path) -> None:
    (tmp_path / "small-unverified.onnx").mkdir()
    refused = nafnet_export(checkpoint_path, "--no-verify", "--overwrite", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is a folder of this name" in refused.stderr.splitlines()[-1]
    assert "writing it" not in refused.stdout
