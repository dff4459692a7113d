"""`nafnet-train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from nafnet.commandline import Command, exits
from nafnet.errors import MissingExtraError, UsageError
from nafnet.words import nearest, printable

CONTEXT = {"help_option_names": ["-h", "--help"]}
_PATH = click.Path(path_type=Path)
HEADINGS = {"root": "Training images", "overrides": "Recipe", "initial": "Run", "device": "Machine", "quiet": "Other"}


@contextlib.contextmanager
def _train_extra() -> Iterator[None]:
    """Name the extra where a library is missing."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train") from error


class _RecipeFirst(click.Group):
    """A group whose command `run` need not be named: `nafnet-train denoise` is `nafnet-train run denoise`."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one meets them."""
        del ctx
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            if args[0][:1] != "-" and (meant := nearest(args[0], self.commands)):
                raise click.UsageError(
                    f"No such command or recipe: {printable(args[0])}. Did you mean {meant[0]}?", ctx
                )
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_RecipeFirst, context_settings=CONTEXT, options_metavar=None,
    subcommand_metavar="RECIPE [OPTIONS] | COMMAND [ARGS]...",
)  # fmt: skip
def main() -> None:
    """Train a NAFNet by a recipe.

    \b
    Your own pairs:       nafnet-train pairs --input NOISY --target CLEAN
    A known data set:     nafnet-train upstream/sidd-width32 --data FOLDER
    Clean photographs:    nafnet-train denoise --clean FOLDER
    No pictures at all:   nafnet-train denoise
    Every option of it:   nafnet-train run --help
    """


@main.command(headings=HEADINGS, short_help="Train by a recipe; the word run can be left out.")
@click.argument("recipe", required=False, metavar="RECIPE")
@click.option("--data", "root", type=_PATH, help="A data set as it was downloaded, or one of its arrays.")
@click.option("--input", "degraded", type=_PATH, help="The folder of degraded images, in place of --data.")
@click.option("--target", type=_PATH, help="The folder of their clean versions, which have the same names.")
@click.option(
    "--clean",
    multiple=True,
    type=_PATH,
    help="A folder of clean photographs, in place of pairs; a recipe with [noise], as denoise, adds its noise to them. "
    "May repeat. A tenth of them is held out for validation.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out images that are incomplete or damaged.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the recipe; may repeat.")
@click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps in place of the recipe's.")
@click.option("--init", "initial", type=_PATH, help="Start from the weights of this checkpoint.")
@click.option("-o", "--output", type=_PATH, help="The run's folder.  [default: runs/RECIPE]")
@click.option("--device", default="auto", show_default=True, help="The device to train on: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads to use.  [default: all cores]")
@click.option(
    "--workers", type=click.IntRange(min=0), help="Processes that make batches ahead.  [default: 0; on a GPU 4]"
)
@click.option("--compile", "compiled", is_flag=True, help="Let torch.compile make the network's passes.")
@click.option("--quiet", is_flag=True, help="Print errors alone.")
@exits
def run(recipe: str | None, overrides: tuple[str, ...], steps: int | None, **options: Any) -> int:
    """Train by RECIPE: a bundled recipe's name (see `nafnet-train list`) or the path of a .toml file.

    A run that was interrupted goes on when the same command is given again. Under torchrun, every process trains on
    its share of each batch.
    """
    with _train_extra():
        from nafnet.train.command import TrainOptions, run
        from nafnet.train.recipes.recipe_files import load_recipe

    if recipe is None:
        raise UsageError(
            "no recipe is given; for your own pairs: nafnet-train pairs --input DIR --target DIR; "
            "`nafnet-train list` shows the others"
        )
    loaded = load_recipe(recipe, overrides)
    return run(loaded, TrainOptions(**options, steps=steps, overrides=overrides))


@main.command("list", short_help="List the bundled recipes.")
@exits
def list_recipes() -> int:
    """Print the bundled recipes."""
    with _train_extra():
        from nafnet.train.recipes.recipe_files import bundled_recipes, recipe_text

    for name in bundled_recipes():
        click.echo(f"{name}: {recipe_text(name).splitlines()[0].lstrip('# ')}")
    return 0


@main.command(short_help="Print a recipe in full, to start your own from.")
@click.argument("recipe")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the recipe; may repeat.")
@exits
def show(recipe: str, overrides: tuple[str, ...]) -> int:
    """Print RECIPE in full, with every default: a file to start one's own from."""
    with _train_extra():
        from nafnet.train.recipes.recipe_files import load_recipe, recipe_text, recipe_toml

    loaded = load_recipe(recipe, overrides)
    comments = [line for line in recipe_text(recipe).splitlines() if line.startswith("#")]
    click.echo("\n".join([*map(printable, comments), recipe_toml(loaded)]), nl=False)
    return 0


@main.command(short_help="Compare runs in a table.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values instead of a table.")
@exits
def compare(runs: tuple[Path, ...], as_csv: bool) -> int:
    """Print a table of RUNS: recipe, parameters, epochs, PSNR, SSIM, and the gap between training and validation."""
    with _train_extra():
        from nafnet.train.run.compare import print_comparison

    return print_comparison(runs, as_csv=as_csv)


@main.command(short_help="Test a run or a checkpoint on pictures it never saw.")
@click.argument("model", type=_PATH, metavar="RUN|CHECKPOINT")
@click.option("--data", "root", type=_PATH, help="The data set, as for training.")
@click.option("--input", "degraded", type=_PATH, help="The folder of degraded images, in place of --data.")
@click.option("--target", type=_PATH, help="The folder of their clean versions, which have the same names.")
@click.option("--whole", is_flag=True, help="The whole test part of the data set, though weights were chosen by some.")
@click.option("--recipe", help="The recipe that says how to evaluate.  [default: the run's, or one for the data set]")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the recipe; may repeat.")
@click.option("--csv", type=_PATH, help="Where to write the scores of each picture.  [default: test.csv of the run]")
@click.option("--skip-bad", is_flag=True, help="Leave out images that are incomplete or damaged.")
@click.option("--device", default="auto", show_default=True, help="The device to test on: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads to use.  [default: all cores]")
@click.option("--quiet", is_flag=True, help="Print the table alone.")
@exits
def test(
    model: Path, root: Path | None, degraded: Path | None, target: Path | None, skip_bad: bool, device: str,
    threads: int | None, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Restore the test part of a data set with a run's best weights, or with a checkpoint, and print PSNR and SSIM.

    The test part of a run is what it held out and never looked at. Where the set is whole, and restored and scored as
    the authors do it, their published figure stands beside it.
    """
    with _train_extra():
        from nafnet.train.command import source_of_pairs, test
        from nafnet.train.run.tested import TestedOptions

    source = source_of_pairs(root, degraded, target, skip_bad=skip_bad)
    return test(model, source, TestedOptions(**options), device, threads, quiet=quiet)


@main.command(short_help="Check a data set before training on it.")
@click.argument("folder", required=False, type=_PATH)
@click.option("--input", "degraded", type=_PATH, help="The folder of degraded images, in place of FOLDER.")
@click.option("--target", type=_PATH, help="The folder of their clean versions, which have the same names.")
@click.option("--recipe", default="pairs", show_default=True, help="The recipe that divides and stores it.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="Change the recipe; may repeat.")
@click.option("--seed", type=int, help="Seed of the split into training, validation and test, as split.seed.")
@click.option("--decode", is_flag=True, help="Read every pixel, not the headers alone: slow, and sure.")
@exits
def data(
    folder: Path | None, degraded: Path | None, target: Path | None, recipe: str, overrides: tuple[str, ...],
    seed: int | None, decode: bool,
) -> int:  # fmt: skip
    """Say which data set lies in FOLDER, how it is divided, and what is wrong with it.

    Known are SIDD (scenes, validation blocks, NumPy arrays), GoPro in three layouts, REDS, and pairs of folders such as
    noisy/ and clean/. Two folders of other names are given with --input and --target.

    Pairs of one scene stay together. What tells a scene is said; --set split.scene=PATTERN tells it otherwise.

    Exit code 1: some pairs are incomplete or damaged.
    """
    with _train_extra():
        from nafnet.train.data.data_report import print_data
        from nafnet.train.recipes.recipe_files import load_recipe

    seeds = () if seed is None else (f"split.seed={seed}",)
    return print_data(folder, degraded, target, load_recipe(recipe, (*overrides, *seeds)), decode=decode)


@main.command(short_help="List the stores of prepared images, and remove some.")
@click.option("--remove", "names", multiple=True, metavar="NAME", help="Remove the store of this name; may repeat.")
@click.option("--older-than", "older", type=click.IntRange(min=0), metavar="DAYS", help="Remove stores by last use.")
@click.option("--all", "everything", is_flag=True, help="Remove every store that no run uses.")
@exits
def cache(names: tuple[str, ...], older: int | None, everything: bool) -> int:
    """List the stores: what each is of, its size, and when a run last used it.

    Images are prepared once, and kept for the next run in the folder NAFNET_CACHE, or where the system has such. A new
    data set, and any change of [prepare] or [split], makes new stores. All can be made again. One that a run uses is
    never removed.
    """
    with _train_extra():
        from nafnet.train.data.cache_report import print_cache

    return print_cache(names, older, everything=everything)
