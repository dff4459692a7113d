"""A camera's noise: made on the sensor, spread by demosaicing, amplified by white balance and the tone curve.

Source: the way back from sRGB to raw, and the strengths of shot and read noise, after Brooks et al., "Unprocessing
Images for Learned Raw Denoising", CVPR 2019; variance a*x + b of the signal x is Foi et al., "Practical
Poissonian-Gaussian noise modeling and fitting", IEEE TIP 2008.

Demosaicing is linear here (bilinear), so the noise can be demosaiced by itself: the clean image keeps its sharpness,
and no model learns to sharpen from it. Images are float32[H,W,3].
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import RecipeError

Image = NDArray[np.float32]

# How a bilinear demosaicing weighs the samples of its own colour around a pixel.
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """The range of cameras and exposures."""

    shot: tuple[float, float] = (1e-4, 1.2e-2)
    """The factor a of the variance a*x + b in raw, drawn log-uniformly; b follows it as in the source. The ends are
    about ISO 100 and ISO 6400 of a phone."""
    red_gain: tuple[float, float] = (1.4, 2.4)
    """White balance, relative to green."""
    blue_gain: tuple[float, float] = (1.3, 2.0)
    mosaic_share: float = 0.8
    """Share of images whose noise is spread by demosaicing; the others are as if reduced in size since."""

    def __post_init__(self) -> None:
        for name in ("shot", "red_gain", "blue_gain"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (low, high))
            if not 0 < low <= high:
                raise RecipeError(f"recipe: [camera] {name} is {low}, {high}; expected a range above 0")


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
    gains = np.array([rng.uniform(*config.red_gain), 1, rng.uniform(*config.blue_gain)], np.float32)
    linear = np.where(clean > 0.04045, ((clean + 0.055) / 1.055) ** np.float32(2.4), clean / np.float32(12.92))
    raw = linear / gains
    noise = np.sqrt(np.float32(shot) * raw + np.float32(read)) * rng.standard_normal(clean.shape, np.float32)
    if rng.random() < config.mosaic_share:
        noise = demosaiced(noise)
    exposed = np.clip(linear + gains * noise, 0, 1)
    curved = np.where(exposed > 0.0031308, 1.055 * exposed ** np.float32(1 / 2.4) - np.float32(0.055), 12.92 * exposed)
    return (curved - clean).astype(np.float32)


def demosaiced(planes: Image) -> Image:
    """What bilinear demosaicing makes of an image of which a sensor saw one colour for each pixel (RGGB).

    Edges are mirrored, with the pattern.
    """
    padded = np.pad(planes, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    height, width = padded.shape[:2]
    rows, columns = np.arange(height)[:, None] % 2, np.arange(width) % 2
    sites = (
        (rows == 0) & (columns == 0),
        rows != columns,
        (rows == 1) & (columns == 1),
    )
    result = np.empty_like(planes)
    for channel, (site, kernel) in enumerate(zip(sites, (_RED_BLUE, _GREEN, _RED_BLUE), strict=True)):
        seen = padded[:, :, channel] * site
        result[:, :, channel] = sum(
            kernel[y, x] * seen[y + 1 : y + 1 + planes.shape[0], x + 1 : x + 1 + planes.shape[1]]
            for y in range(3)
            for x in range(3)
            if kernel[y, x]
        )
    return result
