"""The tone of a picture: how its values stand for light, and its values as a network that knows sRGB sees them.

Shapes: h rows, w columns, C colour channels, 1 (grey) or 3 (RGB); K curves, one for all channels or one for each.
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
from nafnet.images.pixels import WHITE, PixelType, Rows

STEPS = 4096
"""Of a curve, from 0 to 1; between them it is straight."""
_GRID = 1 << 16
"""Steps of the table from what a network gives to values."""
SAME = 0.5 / 255
"""By which a curve that is meant to be sRGB's may differ from it: programs round it in several ways."""
_FAINTEST = 1e-9
"""The least rise of a curve from one step to the next, so that each value of light has one of its own."""


@dataclasses.dataclass(frozen=True)
class Tone:
    """A transfer function: light, 1 is diffuse white, of values from 0 to 1."""

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
    def light(self) -> NDArray[np.float32]:
        """float32[K, STEPS + 1]."""
        return np.frombuffer(self.curves, np.float32).reshape(-1, STEPS + 1)

    @functools.cached_property
    def is_srgb(self) -> bool:
        """Whether the values are those that the network knows."""
        values = np.linspace(0, 1, STEPS + 1)
        return bool(np.abs(light_to_srgb(np.maximum(self.light, 0)) - values).max() <= SAME)

    def encoded(self, rows: Rows) -> NDArray[np.float32]:
        """What a network sees of [h,w,C]: as sRGB has it, float32[h,w,C] in [0, 1]; NaN stays NaN."""
        channels = rows.shape[2]
        made = np.empty(rows.shape, np.float32)
        for channel in range(channels):
            values = rows[:, :, channel]
            if rows.dtype.kind == "u":
                np.take(self._table(rows.dtype.name, channel), values, out=made[:, :, channel], mode="clip")
            elif self.is_srgb:
                np.clip(values, 0, 1, out=made[:, :, channel])
            else:
                made[:, :, channel] = self._from_float(np.clip(values, 0, 1), channel)
        return made

    def values(self, encoded: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
        """The reverse for one channel, any shape: values of which 1 is the greatest integer. Beyond [0, 1] a straight
        line goes on."""
        inside = np.clip(encoded, 0, 1)
        if self.is_srgb:
            return encoded
        table = _values_of(self, min(channel, len(self.light) - 1))
        place = inside * np.float32(_GRID)
        step = np.nan_to_num(place).astype(np.int32)
        low = table[step]
        made: NDArray[np.float32] = low + (place - step) * (table[step + 1] - low)
        beyond = encoded - inside
        slope = np.where(beyond > 0, table[_GRID] - table[_GRID - 1], table[1] - table[0]) * np.float32(_GRID)
        made += beyond * np.where(beyond == 0, np.float32(0), slope)
        return made

    @functools.cached_property
    def white(self) -> NDArray[np.float32]:
        """float32[K, 2]: the value of diffuse white, and that of twice its light, or of as much as there is."""
        grid = np.linspace(0, 1, STEPS + 1)
        ends = [(np.interp(1.0, light, grid), _extended(light, 2.0, grid)) for light in self.light]
        return np.array(ends, np.float32)

    def _table(self, kind: str, channel: int) -> NDArray[np.float32]:
        return _seen_of(self, kind, min(channel, len(self.light) - 1))

    def _from_float(self, values: NDArray[Any], channel: int) -> NDArray[Any]:
        light = self.light[min(channel, len(self.light) - 1)]
        seen = np.interp(values.ravel(), np.linspace(0, 1, STEPS + 1), light).reshape(values.shape)
        return np.minimum(light_to_srgb(np.maximum(seen, 0)), 1)

    def to_json(self) -> dict[str, str]:
        """As JSON holds it."""
        return {"name": self.name, "curves": base64.b64encode(self.curves).decode()}

    @classmethod
    def from_json(cls, fields: dict[str, str]) -> Tone:
        """What `to_json` gave."""
        return cls(fields["name"], base64.b64decode(fields["curves"]))


def _extended(light: NDArray[np.float32], wanted: float, grid: Floats) -> float:
    """The value of so much light; a curve that ends before it goes on as steeply as from its middle to its end."""
    if light[-1] >= wanted:
        return float(np.interp(wanted, light, grid))
    half = STEPS // 2
    return float(1 + (wanted - light[-1]) * 0.5 / max(light[-1] - light[half], 1e-3))


@functools.lru_cache(maxsize=32)
def _seen_of(tone: Tone, kind: PixelType, curve: int) -> NDArray[np.float32]:
    """What a network sees of each integer of a type."""
    return np.asarray(tone._from_float(np.linspace(0, 1, WHITE[kind] + 1), curve), np.float32)


@functools.lru_cache(maxsize=32)
def _values_of(tone: Tone, curve: int) -> NDArray[np.float32]:
    """The value for each step of what a network gives, float32[_GRID + 2]."""
    light = srgb_to_light(np.linspace(0, 1, _GRID + 1))
    values = np.interp(light, tone.light[curve], np.linspace(0, 1, STEPS + 1)).astype(np.float32)
    return np.append(values, values[-1])


SRGB = Tone.of("sRGB", srgb_to_light)
LINEAR = Tone.of("linear light", linear)
