"""Training on the CPU keeps freed memory; on a GPU there is nothing to keep."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nafnet.errors import DataError
from nafnet.train.command import TrainOptions, run
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe_files import load_recipe


@pytest.mark.parametrize(("device", "kept"), [("cpu", 1), ("cuda", 0)])
def test_only_training_on_the_cpu_keeps_freed_memory(
    device: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def joined(_: str) -> Iterator[World]:
        yield World(device=torch.device(device))

    calls: list[int] = []
    monkeypatch.setattr("nafnet.train.command.joined", joined)
    monkeypatch.setattr("nafnet.train.command.keep_memory", lambda: calls.append(1))
    options = TrainOptions(
        root=tmp_path / "nothing", degraded=None, target=None, clean=(), skip_bad=False, initial=None,
        output=tmp_path / "run", device=device, threads=None, workers=0, compiled=False, quiet=True,
    )  # fmt: skip
    with pytest.raises(DataError, match="nothing: no such folder"):
        run(load_recipe("upstream/sidd-width32"), options)
    assert len(calls) == kept
