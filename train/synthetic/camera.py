"""A camera's noise: made on the sensor, spread by demosaicing, mixed and amplified on the way to the picture.

Source: the way back from sRGB to raw, and the strengths of shot and read noise, after Brooks et al., "Unprocessing
Images for Learned Raw Denoising", CVPR 2019; variance a*x + b of the signal x is Foi et al., "Practical
Poissonian-Gaussian noise modeling and fitting", IEEE TIP 2008.

Demosaicing, colours and sharpening are linear here, so the noise can go through them by itself: the clean image keeps
its sharpness, and no model learns to sharpen from it. Images are float32[H,W,3].
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import RecipeError
from nafnet.train.synthetic.demosaicing import BORDER, Phase, demosaiced, mosaic
from nafnet.train.synthetic.shares import check_shares
from nafnet.train.synthetic.tones import contrasted, to_linear, to_tones

Image = NDArray[np.float32]

# Ends of what cameras' matrices from their own red, green and blue to sRGB have off the diagonal; rows sum to 1.
_LEAST = np.array([[0, -0.90, -0.20], [-0.45, 0, -0.50], [-0.10, -0.75, 0]])
_MOST = np.array([[0, -0.20, 0.15], [-0.05, 0, -0.10], [0.10, -0.15, 0]])


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """The range of cameras, exposures and developments."""

    shot: tuple[float, float] = (1e-5, 3e-2)
    """The factor a of the variance a*x + b in raw, drawn log-uniformly; b follows it as in the source. 1e-4 is about
    ISO 100 of a phone, 1.2e-2 ISO 6400."""
    red_gain: tuple[float, float] = (1.4, 2.4)
    """White balance, relative to green."""
    blue_gain: tuple[float, float] = (1.3, 2.0)
    colours: tuple[float, float] = (0.0, 1.0)
    """How far the matrix from the camera's colours to sRGB is from none (0) to a typical one (1)."""
    contrast: tuple[float, float] = (1.0, 1.4)
    """Slope of the tone curve in the middle, over sRGB's."""
    mosaic_share: float = 0.85
    """Share of images whose noise is spread by demosaicing; the others are as if reduced in size since."""
    malvar_share: float = 0.6
    """Of those, the share that is demosaiced by Malvar, He and Cutler; the others bilinearly."""
    sharpened_share: float = 0.3
    """Share of images that are sharpened by an unsharp mask of 3 x 3 pixels."""
    sharpening: tuple[float, float] = (0.2, 1.0)
    """How much of the mask is added."""

    def __post_init__(self) -> None:
        for name in ("shot", "red_gain", "blue_gain", "contrast", "colours", "sharpening"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (low, high))
            zero = name in ("colours", "sharpening")
            if not (0 < low <= high or (zero and low == 0 <= high)):
                least = "from 0 up" if zero else "above 0"
                raise RecipeError(f"recipe: [camera] {name} is {low}, {high}; expected a range {least}")
        check_shares("camera", self, "mosaic_share", "malvar_share", "sharpened_share")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Camera:
    """One of them, and how it develops."""

    gains: NDArray[np.float32]
    matrix: NDArray[np.float32]
    contrast: float
    phase: Phase
    method: str | None
    """Of demosaicing; None: without a mosaic."""
    sharpening: float


def camera_noise(clean: Image, config: CameraConfig, rng: np.random.Generator, shot: float | None = None) -> Image:
    """What a camera's noise adds to a clean sRGB image in [0, 1].

    Args:
        clean: float32[H,W,3].
        config: the range of cameras.
        rng: draws one of them, and its noise.
        shot: the strength, instead of one from the range.
    """
    if shot is None:
        shot = math.exp(rng.uniform(*np.log(config.shot)))
    read = math.exp(2.18 * math.log(shot) + 1.20 + rng.normal(0, 0.26))
    camera = _drawn(config, rng)
    linear = to_linear(contrasted(clean, 1 / camera.contrast))
    raw = np.maximum(linear @ np.linalg.inv(camera.matrix).T, 0) / camera.gains
    noise = _on_sensor(np.sqrt(np.float32(shot) * raw + np.float32(read)), camera, rng)
    exposed: Image = (linear + (noise * camera.gains) @ camera.matrix.T).clip(0, 1)
    added = contrasted(to_tones(exposed), camera.contrast) - clean
    return sharpened(added, camera.sharpening) if camera.sharpening else added


def _drawn(config: CameraConfig, rng: np.random.Generator) -> _Camera:
    mosaicked, malvar, sharp = rng.random(3) < (config.mosaic_share, config.malvar_share, config.sharpened_share)
    off = rng.uniform(*config.colours) * rng.uniform(_LEAST, _MOST)
    phase = rng.integers(0, 2, 2)
    return _Camera(
        gains=np.array([rng.uniform(*config.red_gain), 1, rng.uniform(*config.blue_gain)], np.float32),
        matrix=(off + np.diag(1 - off.sum(1))).astype(np.float32),
        contrast=rng.uniform(*config.contrast),
        phase=(int(phase[0]), int(phase[1])),
        method=None if not mosaicked else "malvar" if malvar else "bilinear",
        sharpening=rng.uniform(*config.sharpening) if sharp else 0.0,
    )


def _on_sensor(deviation: Image, camera: _Camera, rng: np.random.Generator) -> Image:
    """Noise in raw of that standard deviation, float32[H,W,3], demosaiced where the camera has a mosaic."""
    if camera.method is None:
        return deviation * rng.standard_normal(deviation.shape, np.float32)
    seen = mosaic(np.pad(deviation, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="reflect"), camera.phase)
    return demosaiced(seen * rng.standard_normal(seen.shape, np.float32), camera.phase, camera.method)


def sharpened(image: Image, amount: float) -> Image:
    """`image` and `amount` of what a binomial blur of 3 x 3 takes from it; edges are repeated."""
    blurred = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    middle, side = np.float32(0.5), np.float32(0.25)
    blurred = side * (blurred[:-2] + blurred[2:]) + middle * blurred[1:-1]
    blurred = side * (blurred[:, :-2] + blurred[:, 2:]) + middle * blurred[:, 1:-1]
    return image + np.float32(amount) * (image - blurred)
