"""`nafnet-train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nafnet.commandline import exits
from nafnet.errors import MissingExtraError

CONTEXT = {"help_option_names": ["-h", "--help"]}


@contextlib.contextmanager
def _train_extra() -> Iterator[None]:
    """Name the extra where a library is missing."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train") from error


class _RecipeFirst(click.Group):
    """A group whose command `run` need not be named: `nafnet-train denoise` is `nafnet-train run denoise`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RecipeFirst, context_settings=CONTEXT)
def main() -> None:
    """Train by a recipe: nafnet-train RECIPE [-o FOLDER]; see `nafnet-train run --help`."""


@main.command()
@click.argument("recipe")
@click.option(
    "--data", "root", type=click.Path(path_type=Path), help="A data set as it was downloaded, or one of its arrays."
)
@click.option("--input", "degraded", type=click.Path(path_type=Path), help="Instead: the folder of degraded images.")
@click.option("--target", type=click.Path(path_type=Path), help="With --input: the folder of clean images.")
@click.option(
    "--clean",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Instead: a folder of clean photographs, walked, to which a recipe with [noise] (denoise) adds its noise as "
    "they are drawn; may repeat. A tenth of them is held out for validation.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out images that are incomplete or damaged.")
@click.option("--init", "initial", type=click.Path(path_type=Path), help="Start from the weights of this checkpoint.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/RECIPE]")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the recipe; may repeat.")
@click.option("--steps", type=click.IntRange(min=1), help="The same as --set loop.steps=N.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that make batches.  [default: 0; on a GPU 4]")
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile make the network's passes.")
@click.option("--quiet", is_flag=True, help="Errors alone.")
@exits
def run(recipe: str, overrides: tuple[str, ...], steps: int | None, **options: Any) -> int:
    """Train by RECIPE: a bundled recipe's name (see `nafnet-train list`) or the path of a .toml file.

    A run that was interrupted goes on when the same command is given again. Under torchrun, every process trains on
    its share of each batch.
    """
    with _train_extra():
        from nafnet.train.command import TrainOptions, run
        from nafnet.train.recipes.recipe_files import load_recipe

    if steps:
        overrides = (*overrides, f"loop.steps={steps}")
    return run(load_recipe(recipe, overrides), TrainOptions(**options))


@main.command("list")
@exits
def list_recipes() -> int:
    """Print the bundled recipes."""
    with _train_extra():
        from nafnet.train.recipes.recipe_files import bundled_recipes, recipe_text

    for name in bundled_recipes():
        click.echo(f"{name}: {recipe_text(name).splitlines()[0].lstrip('# ')}")
    return 0


@main.command()
@click.argument("recipe")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change it; may repeat.")
@exits
def show(recipe: str, overrides: tuple[str, ...]) -> int:
    """Print RECIPE in full, with every default: a file to start one's own from."""
    with _train_extra():
        from nafnet.train.recipes.recipe_files import load_recipe, recipe_text, recipe_toml

    loaded = load_recipe(recipe, overrides)
    comments = [line for line in recipe_text(recipe).splitlines() if line.startswith("#")]
    click.echo("\n".join([*comments, recipe_toml(loaded)]), nl=False)
    return 0


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values instead of a table.")
@exits
def compare(runs: tuple[Path, ...], as_csv: bool) -> int:
    """Print a table of RUNS: recipe, parameters, epochs, PSNR, SSIM, and the gap between training and validation."""
    with _train_extra():
        from nafnet.train.run.compare import print_comparison

    return print_comparison(runs, as_csv=as_csv)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--target", type=click.Path(path_type=Path), help="Folder of clean images, by the same names.")
@click.option("--seed", default=0, show_default=True, help="Of the split.")
@click.option("--decode", is_flag=True, help="Read every pixel, not the headers alone: slow, and sure.")
@exits
def data(folder: Path, target: Path | None, seed: int, decode: bool) -> int:
    """Say which data set lies in FOLDER, how it is divided, and what is wrong with it.

    Known are SIDD (scenes, validation blocks, NumPy arrays), GoPro in three layouts, REDS, and any two folders of
    equal names. Exit code 1: some pairs are incomplete or damaged.
    """
    with _train_extra():
        from nafnet.train.data.data_report import print_data

    return print_data(folder, target, seed, decode=decode)
