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

Plane = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Tone:
    """A transfer function: light, of which 1 is diffuse white, of values from 0 to 1. Outside it goes on straight."""

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
        return _straight_on(values, self.light[curve])

    def values_of(self, light: Plane, channel: int) -> Plane:
        """The reverse: values, of which 1 is the greatest integer."""
        if self._is_light:
            return light
        curve = min(channel, len(self.light) - 1)
        table, most, first, last = _values_of(self, curve)
        inside = np.clip(light, 0, most)
        place = np.sqrt(np.sqrt(inside * np.float32(1 / most))) * np.float32(_GRID)
        made: Plane = np.take(table, nearest(place), mode="clip")
        beyond = light - inside
        if beyond.any():
            made += beyond * np.where(beyond > 0, np.float32(last), np.float32(first))
        return made

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


def _straight_on(values: Plane, heights: Plane) -> Plane:
    """A curve of equal steps from 0 to 1 between its points, and beyond them as steep as at its ends."""
    inside = np.clip(values, 0, 1)
    place = inside * np.float32(STEPS)
    with np.errstate(invalid="ignore"):
        step = np.minimum(place.astype(np.int32), STEPS - 1)
    made: Plane = np.take(heights, step, mode="clip")
    made += (place - step.astype(np.float32)) * (np.take(heights, step + 1, mode="clip") - made)
    beyond = values - inside
    if beyond.any():
        first, last = _slopes(np.linspace(0, 1, STEPS + 1), heights)
        made += beyond * np.where(beyond > 0, np.float32(last), np.float32(first))
    return made


def _slopes(places: NDArray[Any], heights: NDArray[Any]) -> tuple[float, float]:
    """At the first and the last step of a curve."""
    ends = ((0, 1), (-2, -1))
    first, last = ((heights[end] - heights[start]) / (places[end] - places[start]) for start, end in ends)
    return float(first), float(last)


@functools.lru_cache(maxsize=32)
def _light_of(tone: Tone, kind: PixelType, curve: int) -> Plane:
    """The light of each integer of a type."""
    values = np.linspace(0, 1, WHITE[kind] + 1)
    return np.interp(values, np.linspace(0, 1, STEPS + 1), tone.light[curve]).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _values_of(tone: Tone, curve: int) -> tuple[Plane, float, float, float]:
    """The value at each fourth root of light, float32[_GRID + 1]; the most light; and values to light at the ends."""
    places, light = np.linspace(0, 1, STEPS + 1), tone.light[curve]
    most = float(light[-1])
    values = np.interp(np.linspace(0, 1, _GRID + 1) ** 4 * most, light, places).astype(np.float32)
    first, last = _slopes(light.astype(np.float64), places)
    return values, most, first, last


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
