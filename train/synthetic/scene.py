"""What is done to a clean picture before the noise, so that few pictures show more: darker, grey, softer.

Images are float32[H,W,3], sRGB in [0, 1].
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nafnet.errors import RecipeError
from nafnet.train.synthetic.shares import check_shares
from nafnet.train.synthetic.tones import to_linear, to_tones

Image = NDArray[np.float32]
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of the channels in JPEG's luminance (ITU-R BT.601)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Changes of the clean picture; the noisy one and the target have them both."""

    dark_share: float = 0.2
    """Share of images that are exposed less."""
    stops: tuple[float, float] = (0.0, 5.0)
    """By how much: each stop halves the light."""
    grey_share: float = 0.06
    """Share of images without colour, in the picture and in its noise."""
    soft_share: float = 0.2
    """Share of images that are enlarged, as a lens or a sensor of less resolution shows them at 100%."""
    soft_factor: tuple[float, float] = (1.0, 2.0)

    def __post_init__(self) -> None:
        check_shares("scene", self, "dark_share", "grey_share", "soft_share")
        for name, least in (("stops", 0), ("soft_factor", 1)):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (low, high))
            if not least <= low <= high:
                raise RecipeError(f"recipe: [scene] {name} is {low}, {high}; expected a range from {least} up")


def varied(clean: Image, config: SceneConfig, rng: np.random.Generator) -> Image:
    """The picture, darker or softer where the draw says so; `clean` itself where it does not."""
    dark, soft = rng.random(2) < (config.dark_share, config.soft_share)
    stops, factor = rng.uniform(*config.stops), rng.uniform(*config.soft_factor)
    if soft:
        height, width = clean.shape[:2]
        part = clean[: math.ceil(height / factor), : math.ceil(width / factor)]
        clean = np.clip(resized(part, height, width), 0, 1)
    return to_tones(to_linear(clean) * np.float32(2**-stops)) if dark else clean


def resized(
    image: Image, height: int, width: int, kernel: PillowImage.Resampling = PillowImage.Resampling.BICUBIC
) -> Image:
    """float32[height,width,3] of float32[H,W,3], in float; where it reduces, it averages."""
    planes = [PillowImage.fromarray(np.ascontiguousarray(image[:, :, channel])) for channel in range(3)]
    return np.stack([np.asarray(plane.resize((width, height), kernel)) for plane in planes], axis=2)


def grey(image: Image, weights: NDArray[np.float32] = LUMINANCE) -> Image:
    """The weighted mean of the channels, three times."""
    return np.repeat((image @ weights)[:, :, None], 3, axis=2)
