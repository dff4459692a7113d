"""Random weights that speed is measured on: the same for a seed, open branches, a result that can be true."""

from __future__ import annotations

from pathlib import Path

import torch
from click.testing import CliRunner

from nafnet.benchmarks.studies.random_models import CHANGE, main
from nafnet.checkpoint import load_checkpoint


def test_random_weights_change_a_picture_as_a_restoration_does(tmp_path: Path) -> None:
    paths = []
    for folder in ("one", "two"):
        words = [str(tmp_path / folder), "--recipe", "upstream/sidd-width32", "--seed", "3"]
        assert CliRunner().invoke(main, words).exit_code == 0
        paths.append(tmp_path / folder / "random-sidd-width32.safetensors")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    model = load_checkpoint(paths[0]).build()
    open_branches = [value for name, value in model.named_parameters() if name.endswith(("beta", "gamma"))]
    assert all(value.abs().mean() > 0.1 for value in open_branches)
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        added = (model(picture) - picture).abs().max().item()
    assert CHANGE / 4 < added < 2 * CHANGE
