"""Noise for training pairs: Gaussian, signal-dependent, and what an 8-bit file makes of both.

The signal-dependent part is the usual model of a sensor: variance a*x + b with x the signal (Foi et al.,
"Practical Poissonian-Gaussian noise modeling and fitting", IEEE TIP 2008). Strengths are drawn for each image
of the batch, so that one network learns them all (blind denoising).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """How strong the noise is. Sigmas are in units of 1/255, as the field reports them."""

    max_sigma: float = 55.0
    """Gaussian sigma is drawn from [0, max_sigma]."""
    max_shot: float = 0.04
    """Largest factor a of the signal-dependent variance a*x; 0.04 is sigma 51 at white."""
    shot_share: float = 0.4
    """Share of images that have signal-dependent noise as well."""
    chroma_share: float = 0.2
    """Share of images whose sigma differs between the channels."""
    clean_share: float = 0.03
    """Share of images with no noise at all: a model must learn to leave them alone."""
    quantised_share: float = 0.6
    """Share of images whose noise is clipped to [0, 1] and rounded to 8 bits, as files hold it."""


def add_noise(clean: Tensor, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    """A noisy copy of `clean`, float32[N,3,H,W] in [0, 1]; not clipped, but for the quantised share."""
    batch = clean.shape[0]

    def uniform(channels: int = 1) -> Tensor:  # [N,channels,1,1] in [0, 1)
        return torch.rand((batch, channels, 1, 1), generator=generator)

    sigma = uniform() * config.max_sigma / 255
    sigma = torch.where(uniform() < config.chroma_share, sigma * (0.5 + uniform(3)), sigma)
    # Squared, so that weak shot noise, the common case, comes up as often as strong.
    shot = torch.where(uniform() < config.shot_share, uniform().square() * config.max_shot, torch.zeros(()))
    # Where the sensor term is there, the constant one is the smaller of the two more often than not.
    sigma = torch.where(shot > 0, sigma * uniform(), sigma)
    deviation = (sigma.square() + shot * clean).sqrt()
    deviation = torch.where(uniform() < config.clean_share, torch.zeros(()), deviation)
    noisy = clean + deviation * torch.randn(clean.shape, generator=generator)
    as_file = (noisy.clamp(0, 1) * 255).round() / 255
    return torch.where(uniform() < config.quantised_share, as_file, noisy)


def gaussian(clean: Tensor, sigma: float, generator: torch.Generator, *, quantised: bool) -> Tensor:
    """`clean` with Gaussian noise of `sigma`/255; unclipped, or clipped and rounded to 8 bits."""
    noisy = clean + torch.randn(clean.shape, generator=generator) * (sigma / 255)
    return (noisy.clamp(0, 1) * 255).round() / 255 if quantised else noisy
