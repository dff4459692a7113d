"""Dead-leaves images: occluding shapes of power-law sizes, the training images this project makes itself.

Source: the model is Matheron's; that restoration networks trained on it carry over to photographs is shown by
Achddou et al., "Synthetic images as a regularity prior for image restoration neural networks" (SSVM 2021) and
"VibrantLeaves" (arXiv 2504.10201), from where come the power law with exponent 3, textured and shaded leaves,
and a blurred background under a sharp foreground.

Images are float32[H,W,3] in [0, 1], sRGB-like (no linear light is modelled).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from nafnet.train.synthetic.textures import power_law_field, texture_bank

Pixels = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeadLeavesConfig:
    """What the generator draws."""

    size: int = 512
    """Side of the finished image in pixels."""
    supersampling: int = 2
    """The canvas is this much larger and reduced at the end, which smooths the edges as a lens does."""
    min_radius: float = 5.0
    """Smallest leaf, in canvas pixels."""
    max_radius: float = 400.0
    """Largest leaf, in canvas pixels."""
    exponents: tuple[float, float] = (2.2, 3.0)
    """The density of radii falls as r to the power -exponent, drawn from this range for each image; 3 makes the
    image scale invariant, less gives more large, calm areas."""
    coverage: float = 2.5
    """Leaves are drawn until their areas sum to this many canvases, over a background of large leaves."""
    textures: int = 48
    """Textures a generator keeps; each leaf takes a random cut of one."""


class DeadLeaves:
    """A generator of images; the same seed and index always give the same picture.

    Args:
        config: what to draw.
        seed: of the textures, and of every image together with its index.
    """

    def __init__(self, config: DeadLeavesConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self._canvas = config.size * config.supersampling
        bank = texture_bank(np.random.default_rng((seed, 0)), config.textures, 512)
        self._textures = np.tile(bank, (1, 2, 2))  # so that a cut never has to wrap

    def image(self, index: int) -> Pixels:
        """Picture number `index`: float32[size,size,3] in [0, 1]."""
        rng = np.random.default_rng((self.seed, 1, index))
        palette = _palette(rng)
        canvas = np.empty((self._canvas, self._canvas, 3), np.float32)
        canvas[:] = palette[0]
        radii = self._radii(rng)
        large = self.config.max_radius * rng.uniform(0.2, 1.0, 40)
        self._paint(canvas, rng, large, palette)
        split = int(len(radii) * rng.uniform(0.0, 0.9))
        self._paint(canvas, rng, radii[:split], palette)
        if rng.random() < 0.5:  # out of focus behind, sharp in front
            canvas = _blurred(canvas, rng.uniform(1, 8))
        self._paint(canvas, rng, radii[split:], palette)
        return self._developed(canvas, rng)

    def _radii(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Radii by inverse transform of the truncated power law, until they cover the canvas as often as asked."""
        config = self.config
        power = 1 - rng.uniform(*config.exponents)
        low, high = config.min_radius**power, config.max_radius**power
        most = int(self._canvas**2 / config.min_radius**2)
        draws: NDArray[np.float64] = (low + rng.random(most) * (high - low)) ** (1 / power)
        covered = np.cumsum(np.pi * draws**2) / self._canvas**2
        return draws[: np.searchsorted(covered, config.coverage) + 1]

    def _paint(self, canvas: Pixels, rng: np.random.Generator, radii: NDArray[np.float64], palette: Pixels) -> None:
        """Paint leaves over the canvas, each over those before it."""
        side = self._canvas
        for radius in radii:
            centre = rng.uniform(0, side, 2)
            top, left = np.maximum(np.floor(centre - radius), 0).astype(int)
            bottom, right = np.minimum(np.ceil(centre + radius) + 1, side).astype(int)
            if bottom <= top or right <= left:
                continue
            mask = _leaf_mask(rng, radius, centre - (top, left), (bottom - top, right - left))
            region = canvas[top:bottom, left:right]
            np.copyto(region, self._filling(rng, radius, mask.shape, palette), where=mask[:, :, None])

    def _filling(self, rng: np.random.Generator, radius: float, shape: tuple[int, int], palette: Pixels) -> Pixels:
        """The colour of a leaf: from the palette, with shading and texture; broadcasts to [h,w,3]."""
        colour = palette[rng.integers(len(palette))] + rng.normal(0, 0.04, 3).astype(np.float32)
        if radius < 6:
            return colour[None, None]
        height, width = shape
        slope = rng.normal(0, 0.12, 2)
        down, right = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
        shading = down[:, None] * np.float32(slope[0]) + right * np.float32(slope[1])
        filling = colour * (1 + shading[:, :, None])
        if rng.random() < 0.85:
            texture = self._textures[rng.integers(len(self._textures))]
            top, left = rng.integers(0, 512, 2)
            step = int(rng.integers(1, 3)) if max(shape) <= 256 else 1
            cut = texture[top : top + height * step : step, left : left + width * step : step][:height, :width]
            if cut.shape != shape:  # a leaf larger than the texture: repeat it
                cut = np.pad(cut, ((0, height - cut.shape[0]), (0, width - cut.shape[1])), mode="wrap")
            amplitude = np.exp(rng.uniform(np.log(0.008), np.log(0.2)))
            tint = (1 + rng.normal(0, 0.25, 3)) * amplitude
            filling = filling + cut.astype(np.float32)[:, :, None] * tint.astype(np.float32)
        return filling

    def _developed(self, canvas: Pixels, rng: np.random.Generator) -> Pixels:
        """From canvas to photograph: a slow change of light, exposure, contrast, lens blur, reduction."""
        light = power_law_field(rng, 32, 2.0)
        enlarged = PillowImage.fromarray(light).resize((self._canvas, self._canvas), PillowImage.Resampling.BICUBIC)
        canvas = canvas * (1 + rng.uniform(0, 0.15) * np.asarray(enlarged, np.float32)[:, :, None])
        canvas = np.clip(canvas, 0, None) ** np.float32(np.exp(rng.normal(0, 0.35)))
        canvas = np.clip(canvas * np.float32(np.exp(rng.normal(-0.05, 0.15))), 0, 1)
        if rng.random() < 0.5:
            canvas = _blurred(canvas, rng.uniform(0.3, 1.6))
        side, factor = self.config.size, self.config.supersampling
        return canvas.reshape(side, factor, side, factor, 3).mean((1, 3), dtype=np.float32)


def _one_of(rng: np.random.Generator, *pairs: tuple[float, float]) -> tuple[float, float]:
    return pairs[rng.integers(len(pairs))]


def _palette(rng: np.random.Generator) -> Pixels:
    """float32[K,3]: the colours of one picture, mostly muted, around one or two hues, dark to bright."""
    count = int(rng.integers(4, 24))
    hue = rng.uniform(0, 1) + rng.choice([0.0, rng.uniform(0.2, 0.5)], count) + rng.normal(0, 0.08, count)
    saturation = rng.beta(*_one_of(rng, (1.2, 4.0), (2.0, 4.0), (1.0, 9.0)), count)
    value = rng.beta(*_one_of(rng, (1.2, 1.2), (2.0, 4.0), (1.5, 1.0)), count)
    # HSV to RGB in closed form: each channel is value x (1 - saturation x distance of the hue from it).
    phase = (hue[:, None] + np.array([1.0, 2 / 3, 1 / 3])) % 1.0
    distance = 1 - np.clip(np.abs(phase * 6 - 3) - 1, 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * distance)).astype(np.float32)


def _leaf_mask(
    rng: np.random.Generator, radius: float, centre: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """bool[h,w]: a disc, an ellipse, a polygon or a strip of the given radius around `centre` (y, x)."""
    kind = rng.random()
    if kind < 0.25:
        y = np.arange(shape[0]) - centre[0]
        x = np.arange(shape[1]) - centre[1]
        return y[:, None] ** 2 + x**2 <= radius**2
    angle = rng.uniform(0, 2 * np.pi)
    if kind < 0.45:  # ellipse, down to a thin strip
        corners = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        outline = np.stack([np.sin(corners) * rng.uniform(0.1, 1), np.cos(corners)], 1)
    elif kind < 0.65:  # rectangle
        outline = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * [rng.uniform(0.03, 0.7), 0.7]
    else:  # star-shaped polygon with few or many corners, spiky or smooth
        count = int(rng.integers(3, 24))
        corners = np.sort(rng.uniform(0, 2 * np.pi, count))
        reach = rng.uniform(rng.uniform(0.2, 0.9), 1, count)[:, None]
        outline = np.stack([np.sin(corners), np.cos(corners)], 1) * reach
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = outline @ turn * radius + centre
    mask = PillowImage.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(mask).polygon([(x, y) for y, x in points], fill=1)
    return np.asarray(mask)


def _blurred(canvas: Pixels, radius: float) -> Pixels:
    """Gaussian blur of each channel; `radius` is the standard deviation in pixels."""
    kernel = ImageFilter.GaussianBlur(radius)
    quantised = PillowImage.fromarray((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(quantised.filter(kernel), np.float32) / np.float32(255)
