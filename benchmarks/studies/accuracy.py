"""How well a model denoises photographs it never saw: ``python -m nafnet.benchmarks.studies.accuracy``.

PSNR of the six sample photographs with noise, against the clean ones, both clipped to 8 bits' range and compared
unrounded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import NAMES, Photograph, in_unit_range, photographs, with_gaussian_noise
from nafnet.commandline import exits
from nafnet.metrics import psnr
from nafnet.runtime.engine.restorer import Restorer
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.compression import as_jpeg, quantised

Noisy = Callable[[Photograph, int], NDArray[np.float32]]
"""A clean photograph and a seed, to float32[H,W,3]."""
SIGMAS = (15.0, 25.0, 50.0)
SHOTS = {"camera, medium ISO": 2e-3, "camera, high ISO": 8e-3}


def noises() -> Iterator[tuple[str, Noisy]]:
    """Every noise by its name: Gaussian as it is and as 8-bit files hold it, a camera's, JPEG's, none."""
    for sigma in SIGMAS:
        yield f"sigma {sigma:g}", functools.partial(_gaussian, sigma)
    for sigma in SIGMAS:
        yield f"sigma {sigma:g}, 8 bits", _then(quantised, functools.partial(_gaussian, sigma))
    for name, shot in SHOTS.items():
        yield f"{name}, 8 bits", _then(quantised, functools.partial(_seen_by_camera, shot))
    for name, shot in SHOTS.items():
        yield f"{name}, JPEG 90", _then(_as_jpeg, functools.partial(_seen_by_camera, shot))
    yield "sigma 25, JPEG 90", _then(_as_jpeg, functools.partial(_gaussian, 25.0))
    yield "none", lambda clean, _: in_unit_range(clean)


def _gaussian(sigma: float, clean: Photograph, seed: int) -> NDArray[np.float32]:
    return with_gaussian_noise(clean, sigma, seed)


def _seen_by_camera(shot: float, clean: Photograph, seed: int) -> NDArray[np.float32]:
    unit = in_unit_range(clean)
    return unit + camera_noise(unit, CameraConfig(), np.random.default_rng(seed), shot)


def _as_jpeg(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return as_jpeg(image, 90, halved=True)


def _then(file: Callable[[NDArray[np.float32]], NDArray[np.float32]], noisy: Noisy) -> Noisy:
    """`noisy`, through a file."""
    return lambda clean, seed: file(noisy(clean, seed))


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
