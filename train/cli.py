"""`nafnet-train`: a recipe in, a checkpoint out."""

from __future__ import annotations

from pathlib import Path

import click

from nafnet.commandline import exits
from nafnet.errors import MissingExtraError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("recipe")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/RECIPE]")
@click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps instead of the recipe's.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@exits
def main(recipe: str, output: Path | None, steps: int | None, threads: int | None, quiet: bool) -> int:
    """Train by RECIPE: a bundled recipe's name (denoise) or the path of a .toml file.

    A run that was interrupted goes on when the same command is given again.
    """
    try:
        import torch
        from nafnet.train.loop import train, with_steps
        from nafnet.train.recipe import load_recipe
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train") from error

    plan = with_steps(load_recipe(recipe), steps)
    if threads:
        torch.set_num_threads(threads)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        checkpoint = train(plan, output or Path("runs") / plan.name, progress)
    click.echo(f"{plan.loop.steps} steps of {plan.name}: {checkpoint}")
    return 0
