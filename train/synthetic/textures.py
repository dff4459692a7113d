"""Textures for generated images: random fields and repeated patterns, made by arithmetic alone.

After the texture families of Achddou et al., "VibrantLeaves: A principled parametric image generator for
training deep restoration models" (arXiv 2504.10201): coloured noise with a power-law spectrum, and periodic
patterns whose phase is disturbed. Every texture is float32[S,S], tiles without a seam, mean 0, variance 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def standardised(field: NDArray[np.number]) -> Field:
    """`field` shifted and scaled to mean 0 and variance 1."""
    centred = field - field.mean()
    return (centred / max(float(centred.std()), 1e-6)).astype(np.float32)


def power_law_field(rng: np.random.Generator, size: int, slope: float) -> Field:
    """Gaussian field whose amplitude spectrum falls as frequency to the power -slope; natural images have about 1."""
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / radius**slope
    spectrum[0, 0] = 0.0
    return standardised(np.fft.irfft2(spectrum, s=(size, size)))


def pattern(rng: np.random.Generator, size: int) -> Field:
    """A periodic pattern: waves, stripes, checks or dots, its phase bent by a smooth field.

    The wave counts are whole numbers across `size`, so the pattern tiles.
    """
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.exp(rng.uniform(np.log(4), np.log(size / 5)))
    angle = rng.uniform(0, np.pi)
    ky, kx = round(waves * np.sin(angle)), round(waves * np.cos(angle))
    bend = rng.uniform(0, 3) ** 2 * 0.3 * power_law_field(rng, size, 2.0)
    first = np.sin(2 * np.pi * (ky * y + kx * x) + bend)
    second = np.sin(2 * np.pi * (-kx * y + ky * x) + bend)
    kind = rng.integers(4)
    if kind == 0:
        mixed = first
    elif kind == 1:
        mixed = np.tanh(first * rng.uniform(1, 8))
    elif kind == 2:
        mixed = np.tanh(first * second * rng.uniform(1, 12))
    else:
        mixed = np.maximum(first + second - rng.uniform(0, 1), 0)
    return standardised(mixed)


def patches(rng: np.random.Generator, size: int) -> Field:
    """A smooth field cut into few levels: spots and islands with hard edges."""
    field = power_law_field(rng, size, rng.uniform(1.2, 2.2))
    levels = int(rng.integers(2, 5))
    return standardised(np.digitize(field, np.sort(rng.normal(0, 0.8, levels))))


def texture_bank(rng: np.random.Generator, count: int, size: int) -> NDArray[np.float16]:
    """`count` textures, half of them random fields, [count,size,size]; half precision, since it is only a palette."""
    bank = np.empty((count, size, size), np.float16)
    for index in range(count):
        kind = rng.random()
        if kind < 0.5:
            bank[index] = power_law_field(rng, size, rng.uniform(0.3, 2.0))
        elif kind < 0.85:
            bank[index] = pattern(rng, size)
        else:
            bank[index] = patches(rng, size)
    return bank
