"""Training on a GPU: as on the CPU, in each precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe_files import load_recipe
from nafnet.train.run.trainer import Trainer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")]


def losses(device: str, tmp_path: Path, precision: str, *, compiled: bool = False) -> list[float]:
    overrides = ["architecture.width=16", "loop.batch=4", "loop.steps=20", f"loop.precision={precision}"]
    recipe = load_recipe("upstream/sidd-width32", overrides)
    trainer = Trainer(recipe, 20, World(device=torch.device(device)), tmp_path, compiled=compiled)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    noise = torch.randint(-20, 20, clean.shape, generator=generator)
    noisy = (clean.int() + noise).clamp(0, 255).to(torch.uint8)
    return [trainer.train_step([(noisy, clean)]).loss for _ in range(10)]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.05), ("bf16", 0.5), ("fp16", 0.5)])
def test_steps_are_those_of_the_cpu(precision: str, tolerance: float, tmp_path: Path) -> None:
    assert losses("cuda:0", tmp_path, precision) == pytest.approx(losses("cpu", tmp_path, "fp32"), abs=tolerance)


def test_compiled_steps_are_the_same(tmp_path: Path) -> None:
    compiled = losses("cuda:0", tmp_path, "fp32", compiled=True)
    assert compiled == pytest.approx(losses("cuda:0", tmp_path, "fp32"), abs=0.05)
