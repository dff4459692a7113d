"""Transfer functions: from the values that a file holds to light, and sRGB's between light and what a network sees.

Values: 1 is the greatest that a file's integers hold. Light: 1 is diffuse white, which a display shows as sRGB's 255;
what is brighter has more.

Sources: IEC 61966-2-1 (sRGB); ITU-T H.273, table 3 (codes); SMPTE ST 2084 (PQ); ITU-R BT.2100 (PQ, HLG); ITU-R BT.2408,
section 2 (diffuse white is 203 candelas, or 75% of HLG).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

WHITE_NITS = 203.0
"""Candelas per square metre of diffuse white."""
HLG_GAMMA = 1.2
"""Of the system, on luminance, for a display of 1000 candelas per square metre."""
_HLG_WHITE = 0.75
_SRGB_TOE, _SRGB_SLOPE = 0.0031308, 12.92


def srgb_to_light(values: Floats) -> Floats:
    """Light of values that are encoded as sRGB; both in [0, 1] or above."""
    return np.where(values <= _SRGB_TOE * _SRGB_SLOPE, values / _SRGB_SLOPE, ((values + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: Floats) -> Floats:
    """The values of sRGB for light of at least 0."""
    return np.where(light <= _SRGB_TOE, light * _SRGB_SLOPE, 1.055 * light ** (1 / 2.4) - 0.055)


def gamma(exponent: float) -> Callable[[Floats], Floats]:
    """Light as a power of the values."""
    return lambda values: values**exponent


def linear(values: Floats) -> Floats:
    """Values that are light."""
    return values


def pq_to_light(values: Floats) -> Floats:
    """The EOTF of SMPTE ST 2084, by which 1 is 10,000 candelas per square metre."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = values ** (1 / m2)
    return (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * (10_000 / WHITE_NITS)


def hlg_to_light(values: Floats) -> Floats:
    """HLG's inverse OETF: light of the scene, on which the gamma of the system is still to act."""
    return _hlg_scene(values) / _hlg_scene(np.array(_HLG_WHITE))


def _hlg_scene(values: Floats) -> Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


HLG = 18
NAMED: dict[int, tuple[str, Callable[[Floats], Floats]]] = {
    4: ("gamma 2.2", gamma(2.2)),
    5: ("gamma 2.8", gamma(2.8)),
    8: ("linear light", linear),
    16: ("PQ", pq_to_light),
    HLG: ("HLG", hlg_to_light),
}
"""By H.273's codes. The others name sRGB (13), leave it open (2), or are television's (1, 6, 14, 15 and so on), which
displays show with nearly the same curve as sRGB."""
