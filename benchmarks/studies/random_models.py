"""Checkpoints with random weights, to measure speed on: ``python -m nafnet.benchmarks.studies.random_models FOLDER``.

They take as long as trained ones of the same layout, and can be had without a download. Their branches are open, which
as NAFNet is initialised they are not: with beta and gamma at 0 an engine could leave a block out, and parity would
prove nothing.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nafnet.commandline import exits

if TYPE_CHECKING:
    from nafnet.architecture import NAFNet

RECIPES = ("upstream/sidd-width32", "upstream/gopro-width32")
OPEN = 0.3
"""Standard deviation of beta and gamma. The stream stays in the range that trained networks have."""
CHANGE = 0.25
"""What the network changes the values of a picture of noise by at the most, or somewhat less, down to half of it. Left
as it is drawn, it would change pictures beyond what a restoration can be, and the runtime would run each tile once more
in fp32, as it does with results that cannot be true."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--recipe", "recipes", multiple=True, default=RECIPES, show_default=True, help="Whose architecture.")
@click.option("--seed", default=0, show_default=True)
@exits
def main(folder: Path, recipes: tuple[str, ...], seed: int) -> int:
    """Write FOLDER/random-NAME.safetensors for each recipe; the same weights for the same seed."""
    import torch

    from nafnet.architecture import NAFNet
    from nafnet.train.recipes.recipe_files import load_recipe
    from nafnet.train.run.weights import write_weights

    folder.mkdir(parents=True, exist_ok=True)
    for name in recipes:
        recipe = load_recipe(name)
        torch.manual_seed(seed)
        model = NAFNet(recipe.architecture)
        for key, parameter in model.named_parameters():
            if key.endswith(("beta", "gamma")):
                torch.nn.init.normal_(parameter, 0, OPEN)
        _temper(model)
        path = folder / f"random-{name.rpartition('/')[2]}.safetensors"
        write_weights(path, model, recipe)
        click.echo(path)
    return 0


def _temper(model: NAFNet) -> None:
    """Scale the last convolution: what the network adds to its input is that one's result.

    By a power of two, for the last bits of what is measured here are the machine's own, and weights should not be.
    """
    import torch

    with torch.no_grad():
        noise = torch.rand(1, model.architecture.channels, 256, 256)
        factor = 2.0 ** math.floor(math.log2(CHANGE / (model(noise) - noise).abs().max().item()))
        for parameter in model.ending.parameters():
            parameter.mul_(factor)


if __name__ == "__main__":
    main()
