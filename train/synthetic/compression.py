"""What a file holds of an image: 8 bits, or a JPEG, perhaps made twice. Images are float32[H,W,3], sRGB."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nafnet.errors import RecipeError
from nafnet.train.synthetic.shares import check_shares

Image = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """What the noisy images were saved as; what is left over is neither clipped nor rounded."""

    quantised_share: float = 0.5
    """Share of images that are clipped to [0, 1] and rounded to 8 bits."""
    jpeg_share: float = 0.25
    """Share of images that are compressed as JPEG once the noise is in them."""
    jpeg_quality: tuple[int, int] = (60, 100)
    halved_share: float = 0.6
    """Of the JPEGs, those whose chroma has half the resolution (4:2:0); the others have all of it (4:4:4)."""
    twice_share: float = 0.2
    """Of the JPEGs, those that are opened and saved as JPEG once more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "jpeg_quality", tuple(self.jpeg_quality))
        check_shares("files", self, "quantised_share", "jpeg_share", "halved_share", "twice_share")
        if self.quantised_share + self.jpeg_share > 1:
            raise RecipeError("recipe: [files] quantised_share and jpeg_share must be at most 1 together")
        low, high = self.jpeg_quality
        if not 1 <= low <= high <= 100:
            raise RecipeError(f"recipe: [files] jpeg_quality is {low}, {high}; expected a range within 1 to 100")


def as_saved(image: Image, config: FilesConfig, rng: np.random.Generator) -> Image:
    """What is left of it in one of the files that `config` says."""
    kind = rng.random()
    if kind >= config.jpeg_share:
        return quantised(image) if kind < config.jpeg_share + config.quantised_share else image
    for _ in range(2 if rng.random() < config.twice_share else 1):
        quality = int(rng.integers(*config.jpeg_quality, endpoint=True))
        image = as_jpeg(image, quality, halved=bool(rng.random() < config.halved_share))
    return image


def quantised(image: Image) -> Image:
    """What an 8-bit file holds of it: clipped and rounded."""
    return as_unit(as_8bit(image))


def as_8bit(image: Image) -> NDArray[np.uint8]:
    """uint8[H,W,3] of it."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def as_unit(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Image:
    """float32 in [0, 1] of 8 or 16 bits."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def as_jpeg(image: Image, quality: int, *, halved: bool) -> Image:
    """What a JPEG of that quality holds of it, its chroma at half the resolution (4:2:0) or at the whole (4:4:4)."""
    file = io.BytesIO()
    PillowImage.fromarray(as_8bit(image)).save(file, "jpeg", quality=quality, subsampling=2 if halved else 0)
    with PillowImage.open(file) as decoded:
        return as_unit(np.asarray(decoded))
