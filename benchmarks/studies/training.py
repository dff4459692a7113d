"""How fast training is, and whether the data keep up: ``python -m nafnet.benchmarks.studies.training``.

The network's steps are timed on batches that lie in memory; the data path is timed by itself, from a store of pairs on
the disk to batches, with crops, flips and turns. The peak memory is the process's own, measured before the data path.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from nafnet.allocator import keep_memory
from nafnet.commandline import exits
from nafnet.system import SYSTEM


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--recipe", default="upstream/sidd-width32", show_default=True)
@click.option("--set", "overrides", multiple=True, default=("loop.batch=8", "sampling.patch=128"), show_default=True)
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(min=2))
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--malloc", type=click.Choice(["keep", "default"]), default="keep", help="keep is what nafnet-train does."
)
@click.option("--workers", default=(0, 1, 2), show_default=True, multiple=True, type=click.IntRange(min=0))
@exits
def main(
    recipe: str, overrides: tuple[str, ...], rounds: int, threads: int, malloc: str, workers: tuple[int, ...]
) -> int:
    """Print seconds of a step, images a second of steps and of the data path, and peak memory."""
    import torch

    from nafnet.train.processes.distributed import World
    from nafnet.train.recipes.recipe_files import load_recipe
    from nafnet.train.run.trainer import Trainer

    torch.set_num_threads(threads)
    if malloc == "keep":
        keep_memory()
    chosen = load_recipe(recipe, (*overrides, "sampling.flips=true", "sampling.turns=true"))
    patch, batch = chosen.sampling.patch, chosen.loop.batch
    with tempfile.TemporaryDirectory() as place:
        trainer = Trainer(chosen, 1000, World(), Path(place))
        generator = torch.Generator().manual_seed(0)
        pair = (torch.rand(batch, 3, patch, patch, generator=generator) for _ in range(2))
        images = tuple((image * 255).to(torch.uint8) for image in pair)
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            trainer.train_step([(images[0], images[1])])
            seconds.append(time.perf_counter() - started)
        peak = SYSTEM.peak_resident() / 2**20
        step = min(seconds[1:])
        table = Table("", "s a batch", "images a second", title=f"{recipe}, {batch}x{patch}x{patch}, {threads} threads")
        table.add_row("step", f"{step:.3f}", f"{batch / step:.1f}")
        for count in workers:
            each = _data_seconds(chosen, Path(place), count)
            table.add_row(f"data, {count} workers", f"{each:.4f}", f"{batch / each:.0f} ({step / each:.0f}x)")
    console = Console(width=100)
    console.print(table)
    console.print(f"peak memory of the steps: {peak:.0f} MB", highlight=False)
    return 0


def _data_seconds(recipe: object, place: Path, workers: int, batches: int = 300) -> float:
    """Seconds a batch takes, of 400 pairs of 512 x 512 on the disk."""
    from nafnet.train.data.batches import StepBatches
    from nafnet.train.data.examples import PairExamples
    from nafnet.train.data.pair_store import open_store
    from nafnet.train.data.pairs import ArrayPairs
    from nafnet.train.processes.distributed import World
    from nafnet.train.recipes.data_tables import PrepareConfig
    from nafnet.train.recipes.recipe import Recipe

    assert isinstance(recipe, Recipe)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 512, 512, 3), np.uint8)
    rows: Sequence[int] = [index % 40 for index in range(400)]
    pairs = ArrayPairs(tuple(f"{index:03}" for index in range(400)), pictures, pictures, tuple(rows))
    with Progress(console=Console(file=io.StringIO())) as progress:
        store = open_store(place / "store", pairs, PrepareConfig(), progress, training=True)
    loader = StepBatches(PairExamples(store, recipe), recipe, batches + 50, World()).loader(0, workers, pinned=False)
    for _ in range(50):  # worker processes start, the file comes into memory
        next(loader)
    started = time.perf_counter()
    for _ in range(batches):
        next(loader)
    return (time.perf_counter() - started) / batches


if __name__ == "__main__":
    main()
