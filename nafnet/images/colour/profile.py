"""The colour space of a profile, asked of the colour engine (LittleCMS, through libvips) and not read from its tags.

A profile of curves and a matrix gives each channel's curve exactly: the light of a channel alone is the curve times a
column of the matrix. Of a profile that is a table of colours the curve of its greys is taken for all channels.
"""

from __future__ import annotations

import numpy as np

from nafnet.images.colour.primaries import SRGB_PRIMARIES, to_d50, to_xyz
from nafnet.images.colour.space import Space
from nafnet.images.colour.tone import LINEAR, SRGB, STEPS, Tone
from nafnet.images.colour.transfer import Floats, gamma
from nafnet.images.vips import pyvips

_XYZ_STEP = 1 / 32768
"""The engine's: it computes in 16 bits, of which 32768 is 1."""
_SEPARABLE = 0.01
"""Of light, by which the channels apart may miss what they are together."""
_SAME_POWER = 0.001
"""Of light, by which a curve may differ from a power."""
_EXPONENT_STEPS = 256
"""To 1: profiles hold powers in such steps."""
_RGB, _GREY = b"RGB ", b"GRAY"


def is_of(icc: bytes, channels: int) -> bool:
    """Whether a profile is one of so many channels."""
    return (icc[16:20], channels) in ((_RGB, 3), (_GREY, 1))


def profile_space(icc: bytes, channels: int) -> Space | None:
    """The space of a profile; None where it is not one of so many channels, or the engine cannot use it.

    Args:
        icc: the profile.
        channels: of the picture's colours, 1 or 3.
    """
    if not is_of(icc, channels):
        return None
    try:
        light, columns = _grey(icc) if channels == 1 else _colours(icc)
    except pyvips.Error:
        return None
    if not np.isfinite(light).all() or (light[:, -1] <= 0).any():
        return None
    tone = _tone(np.stack([_smooth(curve / curve[-1]) for curve in light]))
    return Space.of(tone, None if columns is None else np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ columns)


def _tone(curves: Floats) -> Tone:
    """float[K, STEPS + 1], by a name if it has one."""
    if Tone.sampled("", curves).is_srgb:
        return SRGB
    exponents = [_exponent(curve) for curve in curves]
    if exponents[0] and len(set(exponents)) == 1:
        return LINEAR if exponents[0] == 1 else Tone.of(f"gamma {exponents[0]:.2f}", gamma(exponents[0]))
    values = np.linspace(0, 1, STEPS + 1)
    exact = [values**power if power else curve for power, curve in zip(exponents, curves, strict=True)]
    return Tone.sampled("its profile's tone", np.stack(exact))


def _ramp() -> Floats:
    return np.rint(np.linspace(0, 65535, STEPS + 1))


def _xyz(icc: bytes, values: Floats) -> Floats:
    """float[n,3] in light of integers, float[n,C], of 16 bits."""
    channels = values.shape[1]
    image = pyvips.Image.new_from_array(
        values.astype(np.uint16)[None], interpretation="grey16" if channels == 1 else "rgb16"
    ).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    made: Floats = image.icc_import(embedded=True, pcs="xyz", intent="relative").numpy()[0].astype(np.float64) / 100
    return made


def _grey(icc: bytes) -> tuple[Floats, None]:
    return _xyz(icc, _ramp()[:, None])[None, :, 1], None


def _colours(icc: bytes) -> tuple[Floats, Floats | None]:
    """The curves, float[K, STEPS + 1], and the matrix to XYZ, float[3,3]; None of a table."""
    ramp = _ramp()
    alone = np.zeros((3, len(ramp), 3))
    for channel in range(3):
        alone[channel, :, channel] = ramp
    parts = [_xyz(icc, values) for values in alone]
    black = parts[0][0]
    # The greatest of X, Y and Z of a channel is known best.
    strongest = [part[:, np.argmax(part[-1])] for part in parts]
    places = np.array(list(np.ndindex(3, 3, 3))) * (STEPS // 2)
    together = sum(part[place] - black for part, place in zip(parts, places.T, strict=True)) + black
    if np.abs(together - _xyz(icc, ramp[places])).max() > _SEPARABLE:
        greys = _xyz(icc, np.repeat(ramp[:, None], 3, 1))[:, 1]
        return np.maximum(greys[None] - greys[0], 0), None
    curves = np.stack([np.maximum(curve - curve[0], 0) for curve in strongest])
    return curves, to_d50(np.stack([part[-1] - black for part in parts], axis=1))  # libvips gives it under D65


def _smooth(curve: Floats) -> Floats:
    """A rising curve without the stairs that the engine's rounding makes of it: straight between their middles."""
    curve = np.maximum.accumulate(curve)
    places = np.arange(len(curve), dtype=np.float64)
    starts = np.flatnonzero(np.append(True, np.diff(curve) > 0))
    ends = np.append(starts[1:], len(curve)) - 1
    middles = (places[starts] + places[ends]) / 2
    # Black and white are what they are.
    middles, heights = np.concatenate([[0.0], middles[1:-1], [places[-1]]]), curve[starts].copy()
    if len(starts) < 3:
        return curve
    heights[0] = 0.0
    smoothed: Floats = np.interp(places, middles, heights)
    return smoothed


def _exponent(curve: Floats) -> float | None:
    """The power that a curve is; None if it is none.

    It is worth knowing: near black the engine puts a straight line in the place of a power.
    """
    inside = slice(STEPS // 20, -STEPS // 20)
    values = np.linspace(0, 1, STEPS + 1)[inside]
    fitted = float(np.median(np.log(curve[inside]) / np.log(values)))
    exponent = round(fitted * _EXPONENT_STEPS) / _EXPONENT_STEPS
    return exponent if np.abs(curve[inside] - values**exponent).max() <= _SAME_POWER else None
