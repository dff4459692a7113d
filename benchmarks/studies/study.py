"""The original study at a small scale, on generated pairs: ``python -m nafnet.benchmarks.studies.study FOLDER``.

Its data sets are not to be had here, so this says nothing of its figures. It asks the same questions of the same
recipes, on as many pairs divided alike (128, 16, 16), with a narrow network and a share of the epochs: which of them
overfits, and what helps. Each recipe is a run of nafnet-train of its own; a run that is there is gone on with.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from nafnet.commandline import exits
from nafnet.errors import TrainingError
from nafnet.files import whole_file
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.compression import as_8bit
from nafnet.train.synthetic.dead_leaves import DeadLeaves, DeadLeavesConfig

RECIPES = (
    "study/v1", "study/v2", "study/v4", "study/v5",
    "study/baseline", "study/enhanced-1", "study/enhanced-2", "study/enhanced-4",
)  # fmt: skip
PAIRS, SIDE, SEED = 160, 256, 7
MOST_SHALLOW_BLOCKS = 4  # the challenge's 28 at full resolution take seconds for each image
HIGH_ISO = CameraConfig(shot=(2e-3, 1.2e-2))


class DrawnPairs:
    """Pairs of dead leaves under a camera's noise at a high ISO, by number.

    Args:
        side: of each picture, in pixels.
    """

    def __init__(self, side: int) -> None:
        self._generator = DeadLeaves(DeadLeavesConfig(size=side), SEED)

    def __call__(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(degraded, clean), uint8[side,side,3]."""
        clean = self._generator.image(number)
        noisy = clean + camera_noise(clean, HIGH_ISO, np.random.default_rng(number))
        return as_8bit(noisy), as_8bit(clean)


def write_pairs(folder: Path) -> None:
    """The study's first data set as it lies on disk, SIDD's arrays, with generated pairs in it."""
    names = [folder / "SIDD" / f"{side}_images_256.npy" for side in ("noisy", "gt")]
    if all(name.exists() for name in names):
        return
    names[0].parent.mkdir(parents=True, exist_ok=True)
    draw = DrawnPairs(SIDE)
    drawn = [draw(number) for number in track(range(PAIRS), description="drawing pairs")]
    for name, images in zip(names, zip(*drawn, strict=True), strict=True):
        with whole_file(name) as temporary, temporary.open("wb") as file:
            np.save(file, np.stack(images))


def overrides(recipe: str, width: int, share: float, rate: float) -> dict[str, object]:
    """What is changed of a recipe to make it small: fields and values for --set."""
    from nafnet.train.recipes.recipe_files import load_recipe

    loaded = load_recipe(recipe, ())
    changed: dict[str, object] = {
        "architecture.width": width, "loop.epochs": max(round(loaded.loop.epochs * share), 1),
        "loop.learning_rate": rate, "evaluation.images": 32,
    }  # fmt: skip
    if loaded.prepare.piece:  # not enlarged to 256: a quarter of the pixels
        changed |= {"prepare.piece": 128, "sampling.patch": 128}
    *deep, shallow = loaded.architecture.decoder_blocks
    if shallow > MOST_SHALLOW_BLOCKS:
        changed["architecture.decoder_blocks"] = [*deep, MOST_SHALLOW_BLOCKS]
    return changed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--recipe", "recipes", multiple=True, default=RECIPES, show_default=True)
@click.option("--width", default=8, show_default=True, type=click.IntRange(min=2))
@click.option("--share", default=0.08, show_default=True, help="Of the epochs that the study trained.")
@click.option("--rate", default=1e-3, show_default=True, help="Learning rate; the study's 1e-4 learns nothing so soon.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@exits
def main(folder: Path, recipes: tuple[str, ...], width: int, share: float, rate: float, threads: int) -> int:
    """Train the study's recipes on pairs drawn into FOLDER, and print nafnet-train compare's table of them."""
    write_pairs(folder)
    program = [sys.executable, "-P", "-c", "from nafnet.train.cli import main; main()"]
    runs = [folder / "runs" / recipe for recipe in recipes]
    for recipe, run in zip(recipes, runs, strict=True):
        changes = overrides(recipe, width, share, rate)
        changed = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
        options = ["--data", str(folder), "-o", str(run), "--threads", str(threads), "--device", "cpu"]
        if subprocess.run([*program, recipe, *options, *changed], check=False).returncode:
            raise TrainingError(f"{recipe}: nafnet-train failed, see above")
    return subprocess.run([*program, "compare", *map(str, runs)], check=False).returncode


if __name__ == "__main__":
    main()
