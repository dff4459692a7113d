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

from nafnet.benchmarks.photographs import NAMES, Photograph, in_unit_range, photographs
from nafnet.commandline import exits
from nafnet.metrics import psnr
from nafnet.runtime.engine.restorer import Restorer
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.compression import as_jpeg, quantised
from nafnet.train.synthetic.noise import gaussian
from nafnet.train.synthetic.scene import grey, resized
from nafnet.train.synthetic.tones import to_linear, to_tones

_Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_Degrade = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
Noisy = Callable[[Photograph, int], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A clean photograph and a seed, to what is restored and what it is compared with, float32[H,W,3] each."""
SIGMAS = (5.0, 10.0, 15.0, 25.0, 50.0)
SHOTS = {"base": 2e-4, "low": 7e-4, "medium": 2e-3, "high": 8e-3, "extreme": 2e-2}
"""A camera's ISO, as the variance of its shot noise at white, in linear light."""
GRAIN = 1.6
"""Pixels that each grain covers where a picture was enlarged after the noise."""
DARK = 3.0
"""Stops."""
HARMLESS = 41.0
"""dB of a photograph that is good enough for harm to show: below it, none may come out worse than it went in."""


def noises() -> Iterator[tuple[str, Noisy]]:
    """Every noise by its name: none, Gaussian as it is and as 8-bit files hold it, a camera's, JPEG's, and scenes."""
    yield "none", _of(lambda clean, _: clean)
    for sigma in SIGMAS[2:]:
        yield f"sigma {sigma:g}, unclipped", _of(functools.partial(_gaussian, sigma))
    for sigma in SIGMAS:
        yield f"sigma {sigma:g}", _of(functools.partial(_gaussian, sigma), quantised)
    for name, shot in SHOTS.items():
        yield f"camera, {name} ISO", _of(functools.partial(_seen_by_camera, shot), quantised)
    for name in ("medium", "high"):
        yield f"camera, {name} ISO, JPEG 90", _of(functools.partial(_seen_by_camera, SHOTS[name]), _jpeg(90))
    for quality in (90, 70):
        yield f"sigma 25, JPEG {quality}", _of(functools.partial(_gaussian, 25.0), _jpeg(quality))
    yield f"sigma 25, grain of {GRAIN} pixels", _of(_grainy, quantised)
    yield (
        f"camera, medium ISO, {DARK:g} stops dark",
        _of(functools.partial(_seen_by_camera, SHOTS["medium"]), quantised, _darker),
    )
    yield "sigma 25, grey", _of(functools.partial(_gaussian, 25.0), lambda image: quantised(grey(image)), grey)


def _of(degrade: _Degrade, file: _Change = lambda image: image, scene: _Change = lambda image: image) -> Noisy:
    """A photograph as a scene, degraded, and kept in a file."""

    def noisy(clean: Photograph, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        unit = scene(in_unit_range(clean))
        return file(degrade(unit, seed)), unit

    return noisy


def _gaussian(sigma: float, unit: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    return gaussian(unit, sigma, seed)


def _seen_by_camera(shot: float, unit: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    return unit + camera_noise(unit, CameraConfig(), np.random.default_rng(seed), shot)


def _grainy(unit: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Noise that was scaled up: smooth over several pixels, of the same strength."""
    height, width = (int(np.ceil(side / GRAIN)) for side in unit.shape[:2])
    fine = gaussian(np.zeros((height, width, 3), np.float32), 25.0, seed)
    coarse = resized(fine, unit.shape[0], unit.shape[1])
    return unit + coarse * (fine.std() / coarse.std())


def _darker(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    return to_tones(to_linear(unit) * np.float32(2**-DARK))


def _jpeg(quality: int) -> _Change:
    return lambda image: as_jpeg(image, quality, halved=True)


def measure(restorer: Restorer, noisy: Noisy) -> list[tuple[float, float]]:
    """(PSNR before, after) in dB of each photograph, in the order of `NAMES`."""
    scores = []
    for seed, (_, clean) in enumerate(photographs()):
        degraded, truth = noisy(clean, seed)
        pictures = (degraded, restorer.restore(degraded))
        before, after = (psnr(np.clip(picture, 0, 1), truth, peak=1.0) for picture in pictures)
        scores.append((before, after))
    return scores


def is_harmed(before: float, after: float) -> bool:
    """Whether a photograph with noise to be seen came out worse than it went in."""
    return before < HARMLESS and after < before


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", help="An .onnx file or a checkpoint.  [default: the bundled denoiser]")
@click.option("--backend", default="auto", show_default=True)
@exits
def main(model: str | None, backend: str) -> int:
    """Print PSNR for each photograph and noise, and how many photographs came out worse than they went in."""
    table = Table("noise", *NAMES, "mean, dB", "noisy, dB", "worse", title="PSNR against the clean photograph")
    with Restorer.load(model, backend=backend) as restorer:
        for name, noisy in noises():
            scores = measure(restorer, noisy)
            before, after = np.mean(scores, axis=0)
            worse = sum(is_harmed(*score) for score in scores)
            noise = "" if np.isinf(before) else f"{before:.2f}"
            table.add_row(name, *(f"{score:.2f}" for _, score in scores), f"{after:.2f}", noise, str(worse or ""))
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    main()
