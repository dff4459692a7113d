"""The tone of a picture: how its values stand for light.

Shapes: any; the channels last where there are several curves. K curves, one for all channels or one for each.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.images.colour.transfer import Floats, light_to_srgb, linear, srgb_to_light
from nafnet.images.pixels import WHITE, PixelType

STEPS = 4096
"""Of a curve, from 0 to 1; between them it is straight."""
_GRID = 1 << 18
"""Steps of a table from light to values, of equal fourth roots, which are near to what eyes see: a step is less than
half of one of 16 bits."""
SAME = 0.5 / 255
"""By which a curve that is meant to be sRGB's may differ from it: programs round it in several ways."""
_FAINTEST = 1e-9
"""The least rise of a curve from one step to the next, so that each value of light has one of its own."""

_END = STEPS // 64
"""Steps at the end of a curve, by which it is continued,"""
_POWERS = (0.5, 8.0)
"""by a power of these bounds."""

Plane = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Tone:
    """A transfer function: light, of which 1 is diffuse white, of values from 0 to 1.

    Above 1 it goes on as a power. Below 0 it is that of the value without its sign, with the sign.
    """

    name: str
    """For notes and reports: `linear light`, `gamma 1.80`."""
    curves: bytes = dataclasses.field(repr=False)
    """float32[K, STEPS + 1], rising."""

    @classmethod
    def of(cls, name: str, curve: Callable[[Floats], Floats]) -> Tone:
        """The tone of a function from values to light."""
        return cls.sampled(name, curve(np.linspace(0, 1, STEPS + 1))[None])

    @classmethod
    def sampled(cls, name: str, light: Floats) -> Tone:
        """The tone of float[K, STEPS + 1]. What does not rise is made to, by next to nothing."""
        rising = np.maximum.accumulate(light.astype(np.float64), axis=1)
        rising += _FAINTEST * np.arange(STEPS + 1)
        return cls(name, rising.astype(np.float32).tobytes())

    @property
    def light(self) -> Plane:
        """float32[K, STEPS + 1]."""
        return np.frombuffer(self.curves, np.float32).reshape(-1, STEPS + 1)

    @functools.cached_property
    def is_srgb(self) -> bool:
        """Whether the values are those that the network knows."""
        values = np.linspace(0, 1, STEPS + 1)
        return bool(np.abs(light_to_srgb(np.maximum(self.light, 0)) - values).max() <= SAME)

    @functools.cached_property
    def _is_light(self) -> bool:
        return bool(np.abs(self.light - np.linspace(0, 1, STEPS + 1)).max() <= 2 * _FAINTEST * STEPS)

    def light_of(self, values: NDArray[Any], channel: int) -> Plane:
        """The light of values of one channel: integers over their range, or floats with 1 for the greatest."""
        curve = min(channel, len(self.light) - 1)
        if values.dtype.kind == "u":
            return np.take(_light_of(self, values.dtype.name, curve), values, mode="clip")
        if self._is_light:
            return values.astype(np.float32)
        size = np.abs(values)
        place = np.minimum(size, 1) * np.float32(STEPS)
        with np.errstate(invalid="ignore"):
            step = np.minimum(place.astype(np.int32), STEPS - 1)
        low, high = (np.take(self.light[curve], each, mode="clip") for each in (step, step + 1))
        made: Plane = low + (place - step.astype(np.float32)) * (high - low)
        if (size > 1).any():
            made = np.where(size > 1, self._beyond(size, curve), made)
        return np.copysign(made, values)

    def values_of(self, light: Plane, channel: int) -> Plane:
        """The reverse: values, of which 1 is the greatest integer."""
        if self._is_light:
            return light
        curve = min(channel, len(self.light) - 1)
        table, most = _values_of(self, curve)
        size = np.abs(light)
        place = np.sqrt(np.sqrt(np.minimum(size, most) * np.float32(1 / most))) * np.float32(_GRID)
        made: Plane = np.take(table, nearest(place), mode="clip")
        if (size > most).any():
            made = np.where(size > most, self._back_from_beyond(size, curve), made)
        return np.copysign(made, light)

    def _beyond(self, values: Plane, curve: int) -> Plane:
        """The light of values above 1: sRGB's own, or that of the power that the curve is at its end."""
        if self.is_srgb:
            return srgb_to_light(values).astype(np.float32)
        return self.light[curve][-1] * np.maximum(values, 1) ** self._power(curve)

    def _back_from_beyond(self, light: Plane, curve: int) -> Plane:
        if self.is_srgb:
            return light_to_srgb(light).astype(np.float32)
        return np.maximum(light / self.light[curve][-1], 1) ** (1 / self._power(curve))

    def _power(self, curve: int) -> np.float32:
        light = self.light[curve]
        rise = np.log(light[-1] / max(light[-1 - _END], _FAINTEST)) / -np.log1p(-_END / STEPS)
        return np.float32(np.clip(rise, *_POWERS))

    def own(self, values: NDArray[Any], channel: int) -> Plane:
        """Values as they are, less what `values_of` gives for their light: what is to be added to come back to them."""
        if values.dtype.kind == "u":
            return np.take(_own(self, values.dtype.name, min(channel, len(self.light) - 1)), values, mode="clip")
        made: Plane = values - self.values_of(self.light_of(values, channel), channel)
        return made

    def to_json(self) -> dict[str, str]:
        """As JSON holds it."""
        return {"name": self.name, "curves": base64.b64encode(self.curves).decode()}

    @classmethod
    def from_json(cls, fields: dict[str, str]) -> Tone:
        """What `to_json` gave."""
        return cls(fields["name"], base64.b64decode(fields["curves"]))


@functools.lru_cache(maxsize=32)
def _light_of(tone: Tone, kind: PixelType, curve: int) -> Plane:
    """The light of each integer of a type."""
    values = np.linspace(0, 1, WHITE[kind] + 1)
    return np.interp(values, np.linspace(0, 1, STEPS + 1), tone.light[curve]).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _values_of(tone: Tone, curve: int) -> tuple[Plane, float]:
    """The value at each fourth root of light, float32[_GRID + 1], and the most light."""
    places, light = np.linspace(0, 1, STEPS + 1), tone.light[curve]
    most = float(light[-1])
    return np.interp(np.linspace(0, 1, _GRID + 1) ** 4 * most, light, places).astype(np.float32), most


@functools.lru_cache(maxsize=32)
def _own(tone: Tone, kind: PixelType, curve: int) -> Plane:
    values = np.linspace(0, 1, WHITE[kind] + 1, dtype=np.float32)
    return values - tone.values_of(_light_of(tone, kind, curve), curve)


def nearest(places: Plane) -> NDArray[np.int32]:
    """Places in a table; overwrites them. What is not a number is at its start."""
    np.rint(places, out=places)
    with np.errstate(invalid="ignore"):
        return places.astype(np.int32)


SRGB = Tone.of("sRGB", srgb_to_light)
LINEAR = Tone.of("linear light", linear)
