"""Noise for training pairs: Gaussian, a camera's, and what an 8-bit or a JPEG file makes of either.

Strengths are drawn for each image, so that one network learns them all (blind denoising). Images are float32[H,W,3],
sRGB in [0, 1].
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nafnet.errors import RecipeError
from nafnet.train.synthetic.camera import CameraConfig, camera_noise

Image = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Which noise, and how strong. Sigmas are in units of 1/255, as the field reports them."""

    max_sigma: float = 55.0
    """Gaussian sigma is drawn from [0, max_sigma]."""
    chroma_share: float = 0.2
    """Share of the Gaussian images whose sigma differs between the channels."""
    camera_share: float = 0.3
    """Share of images with a camera's noise in place of Gaussian noise."""
    clean_share: float = 0.03
    """Share of images with no noise at all: a model must learn to leave them alone."""
    quantised_share: float = 0.5
    """Share of images that are clipped to [0, 1] and rounded to 8 bits, as files hold them."""
    jpeg_share: float = 0.1
    """Share of images that are compressed as JPEG once the noise is in them."""
    jpeg_quality: tuple[int, int] = (70, 98)

    def __post_init__(self) -> None:
        object.__setattr__(self, "jpeg_quality", tuple(self.jpeg_quality))
        shares = (self.chroma_share, self.camera_share, self.clean_share, self.quantised_share, self.jpeg_share)
        if any(not 0 <= share <= 1 for share in shares) or self.camera_share + self.clean_share > 1:
            raise RecipeError("recipe: [noise] shares must lie between 0 and 1, camera and clean together too")
        if self.quantised_share + self.jpeg_share > 1:
            raise RecipeError("recipe: [noise] quantised_share and jpeg_share must be at most 1 together")


def add_noise(clean: Image, config: NoiseConfig, camera: CameraConfig, rng: np.random.Generator) -> Image:
    """A noisy copy of `clean`; not clipped, but for the shares that go through a file."""
    kind, file = rng.random(2)
    if kind < config.clean_share:
        return clean
    if kind < config.clean_share + config.camera_share:
        noisy = clean + camera_noise(clean, camera, rng)
    else:
        sigma = np.full(3, rng.uniform(0, config.max_sigma), np.float32)
        if rng.random() < config.chroma_share:
            sigma *= rng.uniform(0.5, 1.5, 3).astype(np.float32)
        noisy = clean + sigma / 255 * rng.standard_normal(clean.shape, np.float32)
    if file < config.jpeg_share:
        return as_jpeg(noisy, int(rng.integers(*config.jpeg_quality, endpoint=True)), halved=bool(rng.random() < 0.5))
    return quantised(noisy) if file < config.jpeg_share + config.quantised_share else noisy


def quantised(image: Image) -> Image:
    """What an 8-bit file holds of it: clipped and rounded."""
    return as_unit(as_8bit(image))


def as_8bit(image: Image) -> NDArray[np.uint8]:
    """uint8[H,W,3] of it."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def as_unit(pixels: NDArray[np.uint8]) -> Image:
    """float32 in [0, 1] of 8 bits."""
    return pixels.astype(np.float32) / np.float32(255)


def as_jpeg(image: Image, quality: int, *, halved: bool) -> Image:
    """What a JPEG of that quality holds of it, its chroma at half the resolution (4:2:0) or at the whole (4:4:4)."""
    file = io.BytesIO()
    PillowImage.fromarray(as_8bit(image)).save(file, "jpeg", quality=quality, subsampling=2 if halved else 0)
    with PillowImage.open(file) as decoded:
        return as_unit(np.asarray(decoded))


def gaussian(clean: Image, sigma: float, seed: int) -> Image:
    """`clean` with Gaussian noise of `sigma`/255, the same for the same seed; not clipped."""
    return clean + np.float32(sigma / 255) * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
