"""Networks whose every parameter matters, small enough to export in seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.cli import main
from nafnet.export.exporter import export
from nafnet.spec import Architecture, ModelSpec
from tests.processes import Ended, in_this_process

MakeNetwork = Callable[[Architecture], NAFNet]


@pytest.fixture(scope="session")
def make_network() -> MakeNetwork:
    """Random weights of a fixed seed: norms off 1 and 0, branches open."""

    def make(architecture: Architecture) -> NAFNet:
        torch.manual_seed(0)
        model = NAFNet(architecture)
        for name, parameter in model.named_parameters():
            if name.endswith(("beta", "gamma")):
                nn.init.normal_(parameter, 0, 0.5)
            elif ".norm" in name:
                nn.init.normal_(parameter, float(name.endswith("weight")), 0.3)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def small_architecture() -> Architecture:
    return Architecture(width=8, encoder_blocks=(1, 0), middle_blocks=1, decoder_blocks=(0, 1))


@pytest.fixture(scope="session")
def checkpoint_path(
    make_network: MakeNetwork, small_architecture: Architecture, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small network as a file, trained on patches of 32 for all it says, with tiles of 64."""
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    spec = ModelSpec(architecture=small_architecture, multiple=4, train_patch=32, tile=64, task="denoise")
    save_checkpoint(path, dict(make_network(small_architecture).state_dict()), spec)
    return path


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """An export that several tests look at, and what was told on the way."""

    exported: Exported
    notes: list[str]
    steps: list[tuple[str, float, float]]


def recorded(path: Path, options: ExportOptions) -> Recorded:
    notes: list[str] = []
    steps: list[tuple[str, float, float]] = []
    made = export(load_checkpoint(path), options, notes.append, lambda *step: steps.append(step))
    return Recorded(made, notes, steps)


@pytest.fixture(scope="session")
def plain_export(checkpoint_path: Path) -> Recorded:
    """In fp32, of any size."""
    return recorded(checkpoint_path, ExportOptions())


@pytest.fixture(scope="session")
def half_export(checkpoint_path: Path) -> Recorded:
    """In fp16."""
    return recorded(checkpoint_path, ExportOptions(precision="fp16", norm="fused"))


def nafnet_export(*arguments: str | Path, cwd: Path) -> Ended:
    """The command in this process, where networks that were exported before are not again."""
    return in_this_process(main, "nafnet-export", *arguments, cwd=cwd)
