"""Training that starts from the weights of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint, weights_sha256
from nafnet.spec import Architecture
from tests.train.conftest import trained_here

TINY = Architecture(width=4, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights as the authors' trainer writes them, no two alike."""
    torch.manual_seed(5)
    model = NAFNet(TINY)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.01)
    path = tmp_path / "net_g_5000.pth"
    torch.save({"params": {f"module.{name}": weight for name, weight in model.state_dict().items()}}, path)
    return path


def test_a_run_starts_from_the_weights_given(recipe: Path, pairs: Path, checkpoint: Path) -> None:
    """At a rate of 0 the weights that come out, the moving average's, are those that went in."""
    data = ("--input", pairs / "input", "--target", pairs / "target", "-o", pairs / "run", "--threads", "1")
    still = (
        "--set",
        "loop.learning_rate=0",
        "--set",
        "schedule.kind=constant",
        "--set",
        "loop.ema=0.5",
        "--steps",
        "3",
    )
    run = trained_here(recipe, *data, *still, "--init", checkpoint)
    assert run.returncode == 0, run.stderr
    first, last = (load_checkpoint(path) for path in (checkpoint, pairs / "run" / "last.safetensors"))
    assert weights_sha256(last.state_dict) == weights_sha256(first.state_dict)


def test_the_start_belongs_to_the_run(recipe: Path, pairs: Path, checkpoint: Path) -> None:
    data = ("--input", pairs / "input", "--target", pairs / "target", "-o", pairs / "run", "--threads", "1")
    assert trained_here(recipe, *data, "--init", checkpoint).returncode == 0
    again = trained_here(recipe, *data, "--init", checkpoint)
    assert (again.returncode, "going on from step 20" in again.stdout) == (0, True)
    other = trained_here(recipe, *data)
    assert other.returncode == 2
    assert "the weights to start from (--init) differ" in other.stderr
    assert other.stderr.count("\n") == 1


def test_what_cannot_be_started_from_is_told(recipe: Path, pairs: Path, checkpoint: Path) -> None:
    data = ("--input", pairs / "input", "--target", pairs / "target", "-o", pairs / "run", "--threads", "1")
    wider = trained_here(recipe, *data, "--init", checkpoint, "--set", "architecture.width=8")
    assert wider.returncode == 2
    assert "set [architecture] to that of the checkpoint" in wider.stderr
    missing = trained_here(recipe, *data, "--init", pairs / "nothing.pth")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert not (pairs / "run" / "run.json").exists()
