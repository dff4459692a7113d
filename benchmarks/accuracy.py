"""How well a model denoises photographs it never saw: ``python -m nafnet.benchmarks.accuracy``.

PSNR of the six sample photographs with Gaussian noise, against the clean ones, both clipped to 8 bits' range and
compared unrounded; the noise is unclipped float, or clipped and rounded as files hold it.
"""

from __future__ import annotations

import click
import numpy as np
from nafnet.benchmarks.photographs import NAMES, as_8bit, in_unit_range, photographs, with_gaussian_noise
from nafnet.runtime.restorer import Restorer
from rich.console import Console
from rich.table import Table

from nafnet.commandline import exits
from nafnet.metrics import psnr

SIGMAS = (15.0, 25.0, 50.0)


def measure(restorer: Restorer, sigma: float, *, quantised: bool) -> list[float]:
    """PSNR in dB of each photograph, in the order of `NAMES`; sigma 0 is the clean photograph itself."""
    scores = []
    for seed, (_, clean) in enumerate(photographs()):
        noisy = with_gaussian_noise(clean, sigma, seed)
        if quantised:
            noisy = in_unit_range(as_8bit(noisy))
        restored = np.clip(restorer.restore(noisy), 0, 1)
        scores.append(psnr(restored, in_unit_range(clean), peak=1.0))
    return scores


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", help="An .onnx file or a checkpoint.  [default: the bundled denoiser]")
@click.option("--backend", default="auto", show_default=True)
@exits
def main(model: str | None, backend: str) -> int:
    """Print PSNR for each photograph and noise."""
    table = Table("noise", *NAMES, "mean, dB", title="PSNR against the clean photograph")
    with Restorer.load(model, backend=backend) as restorer:
        for quantised in (False, True):
            for sigma in (*SIGMAS, 0.0):
                scores = measure(restorer, sigma, quantised=quantised)
                kind = "8-bit" if quantised else "float"
                label = f"sigma {sigma:g}, {kind}" if sigma else f"none, {kind}"
                table.add_row(label, *(f"{score:.2f}" for score in scores), f"{np.mean(scores):.2f}")
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    main()
