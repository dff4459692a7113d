"""Noise for training pairs: Gaussian or a camera's, weak or strong, of single pixels or of coarse grain.

Strengths are drawn for each image, so that one network learns them all (blind denoising). Images are float32[H,W,3],
sRGB in [0, 1].
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nafnet.errors import RecipeError
from nafnet.train.synthetic.camera import CameraConfig, camera_noise
from nafnet.train.synthetic.scene import grey, resized

Image = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Which noise, and how strong. Sigmas are in units of 1/255, as the field reports them."""

    clean_share: float = 0.1
    """Share of images with no noise at all: a model must learn to leave them alone."""
    camera_share: float = 0.45
    """Share of images with a camera's noise; what is left has Gaussian noise."""
    max_sigma: float = 55.0
    """Gaussian sigma is drawn from [0, max_sigma]."""
    weak_share: float = 0.3
    """Share of the Gaussian images whose sigma is drawn from [0, weak_sigma] instead."""
    weak_sigma: float = 8.0
    chroma_share: float = 0.2
    """Share of the Gaussian images whose sigma differs between the channels."""
    grain_share: float = 0.2
    """Share of the noisy images that were enlarged once the noise was in them, so that its grain is coarse."""
    grain_factor: tuple[float, float] = (1.1, 3.0)
    """By how much they were."""
    luminance_share: float = 0.1
    """Share of the noisy images whose noise has no colour, as cameras leave it that remove the colour alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "grain_factor", tuple(self.grain_factor))
        shares = ("clean_share", "camera_share", "weak_share", "chroma_share", "grain_share", "luminance_share")
        if any(not 0 <= getattr(self, name) <= 1 for name in shares) or self.camera_share + self.clean_share > 1:
            raise RecipeError("recipe: [noise] shares must lie between 0 and 1, camera and clean together too")
        if not 0 <= self.weak_sigma <= self.max_sigma < math.inf:
            raise RecipeError(
                f"recipe: [noise] weak_sigma = {self.weak_sigma}; expected 0 to max_sigma, {self.max_sigma}"
            )
        low, high = self.grain_factor
        if not 1 <= low <= high:
            raise RecipeError(f"recipe: [noise] grain_factor is {low}, {high}; expected a range from 1 up")


def noise_on(clean: Image, config: NoiseConfig, camera: CameraConfig, rng: np.random.Generator) -> Image | None:
    """What noise adds to `clean`, float32[H,W,3]; None where it is to stay clean."""
    kind = rng.random()
    if kind < config.clean_share:
        return None
    coarse, colourless = rng.random(2) < (config.grain_share, config.luminance_share)

    def fine(image: Image) -> Image:
        if kind < config.clean_share + config.camera_share:
            return camera_noise(image, camera, rng)
        return _gaussian_of_any_strength(image.shape, config, rng)

    noise = _enlarged(fine, clean, rng.uniform(*config.grain_factor), rng) if coarse else fine(clean)
    return grey(noise) if colourless else noise


def _gaussian_of_any_strength(shape: tuple[int, ...], config: NoiseConfig, rng: np.random.Generator) -> Image:
    weak, uneven = rng.random(2) < (config.weak_share, config.chroma_share)
    sigma = np.full(3, rng.uniform(0, config.weak_sigma if weak else config.max_sigma), np.float32)
    if uneven:
        sigma *= rng.uniform(0.5, 1.5, 3).astype(np.float32)
    return sigma / np.float32(255) * rng.standard_normal(shape, np.float32)


def _enlarged(fine: Callable[[Image], Image], clean: Image, factor: float, rng: np.random.Generator) -> Image:
    """The noise of a smaller picture, enlarged to the size of this one."""
    height, width = clean.shape[:2]
    small = resized(clean, math.ceil(height / factor), math.ceil(width / factor), PillowImage.Resampling.BILINEAR)
    kernel = (PillowImage.Resampling.BILINEAR, PillowImage.Resampling.BICUBIC)[int(rng.integers(2))]
    return resized(fine(small), height, width, kernel)


def gaussian(clean: Image, sigma: float, seed: int) -> Image:
    """`clean` with Gaussian noise of `sigma`/255, the same for the same seed; not clipped."""
    return clean + np.float32(sigma / 255) * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
