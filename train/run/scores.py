"""The scores of `nafnet.metrics` on the device that holds the images: the same numbers, in strips of rows.

Shapes: C channels, H and W the image's height and width; both images are float32[C,H,W] in [0, 1].
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

_REACH = 5  # pixels of SSIM's window to each side
_PIXELS = {"cpu": 1 << 16, "cuda": 1 << 20}
"""Of a strip: what a processor's caches hold, and what keeps a GPU busy."""


@dataclasses.dataclass(frozen=True)
class _Protocol:
    restored: Callable[[Tensor], Tensor]
    clean: Callable[[Tensor], Tensor]
    peak: float
    volume: bool
    """Whether SSIM takes an image as a volume, borders replicated; else channel by channel, inside alone."""


def _clipped(image: Tensor) -> Tensor:
    return image.clamp(0, 1)


def _as_it_is(image: Tensor) -> Tensor:
    return image


def _in_8_bits(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round()


_PROTOCOLS: Mapping[str, _Protocol] = MappingProxyType({
    "plain": _Protocol(_clipped, _as_it_is, 1.0, volume=False),
    "sidd": _Protocol(_as_it_is, _as_it_is, 1.0, volume=True),
    "gopro": _Protocol(_in_8_bits, _in_8_bits, 255.0, volume=True),
})  # fmt: skip


def measured(restored: Tensor, clean: Tensor, protocol: str) -> tuple[float, float]:
    """(PSNR in dB, SSIM) by a protocol of `nafnet.metrics.PROTOCOLS`; the PSNR of equal images is infinite.

    Raises:
        ValueError: the shapes differ, or an image is smaller than SSIM's window.
    """
    if restored.shape != clean.shape:
        raise ValueError(f"images differ in shape: {list(restored.shape)} and {list(clean.shape)}")
    rules = _PROTOCOLS[protocol]
    _, height, width = clean.shape
    if not rules.volume and min(height, width) < 2 * _REACH + 1:
        raise ValueError(f"SSIM needs at least 11 x 11 pixels, got {height} x {width}")
    error = torch.zeros((), dtype=torch.float64, device=clean.device)
    similar = error.clone()
    for rows in _strips(clean, height):
        x, y = _pair(restored, clean, rows, rules)
        error += (x - y).square().sum()
    outputs = height if rules.volume else height - 2 * _REACH
    count = 0
    for rows in _strips(clean, outputs):
        first, last = (int(rows[end]) for end in (0, -1))
        offset = -_REACH if rules.volume else 0
        wide = torch.arange(first + offset, last + 1 + offset + 2 * _REACH, device=clean.device).clamp(0, height - 1)
        values = _similarity(*_pair(restored, clean, wide, rules), rules)
        similar += values.sum()
        count += values.numel()
    mean = float(error) / clean.numel()
    return math.inf if mean == 0 else 10 * math.log10(rules.peak**2 / mean), float(similar) / count


def _strips(image: Tensor, height: int) -> Iterator[Tensor]:
    """The numbers of the rows of each strip, from 0 to below `height`."""
    rows = max(_PIXELS[image.device.type] // image.shape[2], 1)
    return iter(torch.arange(height, device=image.device).split(rows))


def _pair(restored: Tensor, clean: Tensor, rows: Tensor, rules: _Protocol) -> tuple[Tensor, Tensor]:
    """float64[C,h,W] of both, of these rows."""
    return rules.restored(restored[:, rows]).double(), rules.clean(clean[:, rows]).double()


def _similarity(x: Tensor, y: Tensor, rules: _Protocol) -> Tensor:
    """SSIM of each pixel, float64[C,h-10,w]; w is 10 less than W unless the image is taken as a volume."""
    maps = torch.stack([x, y, x * x, y * y, x * y])  # [5,C,h,W]
    weights = _weights(x.device)
    if rules.volume:
        maps = F.pad(maps, (_REACH, _REACH, 0, 0), mode="replicate")
        maps = torch.einsum("dc,mchw->mdhw", _between_channels(weights, len(x)), maps)
    mean_x, mean_y, square_x, square_y, product = _windowed(_windowed(maps, weights, 2), weights, 3)
    c1, c2 = (0.01 * rules.peak) ** 2, (0.03 * rules.peak) ** 2
    both = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    luminance = (2 * both + c1) / (squares + c1)
    return luminance * (2 * (product - both) + c2) / (square_x + square_y - squares + c2)


def _weights(device: torch.device) -> Tensor:
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64, device=device)
    weights = torch.exp(-offsets.square() / (2 * 1.5**2))
    return weights / weights.sum()


def _between_channels(weights: Tensor, channels: int) -> Tensor:
    """float64[C,C]: the window along the channels, the first and the last of which are replicated."""
    mixed = torch.zeros(channels, channels, dtype=torch.float64, device=weights.device)
    for channel in range(channels):
        for offset, weight in enumerate(weights, channel - _REACH):
            mixed[channel, min(max(offset, 0), channels - 1)] += weight
    return mixed


def _windowed(maps: Tensor, weights: Tensor, axis: int) -> Tensor:
    """The weighted mean over each window of 11 along an axis, which gets shorter by 10."""
    length = maps.shape[axis] - 2 * _REACH
    mean = torch.zeros_like(maps.narrow(axis, 0, length))
    for start, weight in enumerate(weights.tolist()):
        mean.add_(maps.narrow(axis, start, length), alpha=weight)
    return mean
