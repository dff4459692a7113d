"""`nafnet-train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

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
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/RECIPE]")
@click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps instead of the recipe's.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@exits
def run(recipe: str, output: Path | None, steps: int | None, threads: int | None, quiet: bool) -> int:
    """Train by RECIPE: a bundled recipe's name (see `nafnet-train list`) or the path of a .toml file.

    A run that was interrupted goes on when the same command is given again.
    """
    with _train_extra():
        import torch
        from nafnet.train.loop import train, with_steps
        from nafnet.train.recipe import load_recipe
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    plan = with_steps(load_recipe(recipe), steps)
    if threads:
        torch.set_num_threads(threads)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        checkpoint = train(plan, output or Path("runs") / plan.name, progress)
    click.echo(f"{plan.loop.steps} steps of {plan.name}: {checkpoint}")
    return 0


@main.command("list")
@exits
def list_recipes() -> int:
    """Print the bundled recipes."""
    with _train_extra():
        from nafnet.train.recipe import bundled_recipes, recipe_text

    for name in bundled_recipes():
        click.echo(f"{name}: {recipe_text(name).splitlines()[0].lstrip('# ')}")
    return 0


@main.command()
@click.argument("recipe")
@exits
def show(recipe: str) -> int:
    """Print RECIPE as it is written."""
    with _train_extra():
        from nafnet.train.recipe import load_recipe, recipe_text

    load_recipe(recipe)
    click.echo(recipe_text(recipe), nl=False)
    return 0


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
        from nafnet.train.data_report import print_data

    return print_data(folder, target, seed, decode=decode)
