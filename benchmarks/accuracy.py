"""How well a model denoises photographs it never saw: ``python -m nafnet.benchmarks.accuracy``.

PSNR of the six sample photographs with noise, against the clean ones, both clipped to 8 bits' range and compared
unrounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import numpy as np
from nafnet.benchmarks.photographs import NAMES, Photograph, in_unit_range, photographs, with_gaussian_noise
from nafnet.runtime.restorer import Restorer
from nafnet.train.camera import CameraConfig, camera_noise
from nafnet.train.noise import as_jpeg, quantised
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nafnet.commandline import exits
from nafnet.metrics import psnr

Noisy = Callable[[Photograph, int], NDArray[np.float32]]
"""A clean photograph and a seed, to float32[H,W,3]."""
SIGMAS = (15.0, 25.0, 50.0)
SHOTS = {"camera, medium ISO": 2e-3, "camera, high ISO": 8e-3}


def noises() -> Iterator[tuple[str, Noisy]]:
    """Every noise by its name: Gaussian as it is and as 8-bit files hold it, a camera's, JPEG's, none."""
    for sigma in SIGMAS:
        yield f"sigma {sigma:g}", lambda clean, seed, sigma=sigma: with_gaussian_noise(clean, sigma, seed)
    for sigma in SIGMAS:
        yield (
            f"sigma {sigma:g}, 8 bits",
            lambda clean, seed, sigma=sigma: quantised(with_gaussian_noise(clean, sigma, seed)),
        )
    for name, shot in SHOTS.items():
        yield f"{name}, 8 bits", lambda clean, seed, shot=shot: quantised(_seen_by_camera(clean, seed, shot))
    for name, shot in SHOTS.items():
        yield (
            f"{name}, JPEG 90",
            lambda clean, seed, shot=shot: as_jpeg(_seen_by_camera(clean, seed, shot), 90, halved=True),
        )
    yield "sigma 25, JPEG 90", lambda clean, seed: as_jpeg(with_gaussian_noise(clean, 25, seed), 90, halved=True)
    yield "none", lambda clean, _: in_unit_range(clean)


def _seen_by_camera(clean: Photograph, seed: int, shot: float) -> NDArray[np.float32]:
    unit = in_unit_range(clean)
    return unit + camera_noise(unit, CameraConfig(), np.random.default_rng(seed), shot)


def measure(restorer: Restorer, noisy: Noisy) -> list[tuple[float, float]]:
    """(PSNR before, after) in dB of each photograph, in the order of `NAMES`."""
    scores = []
    for seed, (_, clean) in enumerate(photographs()):
        degraded, unit = noisy(clean, seed), in_unit_range(clean)
        pictures = (degraded, restorer.restore(degraded))
        before, after = (psnr(np.clip(picture, 0, 1), unit, peak=1.0) for picture in pictures)
        scores.append((before, after))
    return scores


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", help="An .onnx file or a checkpoint.  [default: the bundled denoiser]")
@click.option("--backend", default="auto", show_default=True)
@exits
def main(model: str | None, backend: str) -> int:
    """Print PSNR for each photograph and noise."""
    table = Table("noise", *NAMES, "mean, dB", "noisy, dB", title="PSNR against the clean photograph")
    with Restorer.load(model, backend=backend) as restorer:
        for name, noisy in noises():
            scores = measure(restorer, noisy)
            before, after = np.mean(scores, axis=0)
            table.add_row(name, *(f"{score:.2f}" for _, score in scores), f"{after:.2f}", f"{before:.2f}")
    Console(width=130).print(table)
    return 0


if __name__ == "__main__":
    main()
