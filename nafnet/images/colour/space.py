"""The colour space of a picture, and its values as a network that knows sRGB sees them, there and back.

Shapes: n rows, W width, C colour channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.images.colour.tone import LINEAR, SRGB, Tone, nearest
from nafnet.images.colour.transfer import light_to_srgb, srgb_to_light
from nafnet.images.pixels import Rows, as_floats

_GRID = 1 << 18
"""Steps of a table: each is less than half of one of 16 bits."""
_SRGB_WHITE_SLOPE = 2.4 / 1.055
"""Of light to values, at white."""
SAME_PRIMARIES = 0.01
"""By which a matrix may differ from one that changes nothing."""
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
"""Of red, green and blue, in ITU-R BT.2020."""
_LEAST = np.float32(1e-6)
_TOO_FAR = 10.0
"""What no number of a matrix between real colours is above."""

Colours = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Space:
    """A tone, and the primaries that the channels stand for."""

    tone: Tone
    matrix: tuple[float, ...] = ()
    """From light of these primaries to light of sRGB's, row by row; empty where they are sRGB's, or unknown."""

    gamma: float = 1.0
    """Of the system: the power of luminance by which a display shows the light of a scene; HLG has one."""

    @classmethod
    def of(cls, tone: Tone, to_srgb: NDArray[Any] | None, gamma: float = 1.0) -> Space:
        """A space of a matrix, [3,3]; one that changes next to nothing, or is none between colours, is left out."""
        if to_srgb is None or not np.isfinite(to_srgb).all() or np.abs(to_srgb).max() > _TOO_FAR:
            return cls(tone, gamma=gamma)
        if np.abs(to_srgb - np.eye(3)).max() <= SAME_PRIMARIES or abs(np.linalg.det(to_srgb)) < 1e-3:
            return cls(tone, gamma=gamma)
        return cls(tone, tuple(float(value) for value in to_srgb.ravel()), gamma)

    @property
    def name(self) -> str:
        """For notes and reports."""
        return f"{self.tone.name}, primaries of its own" if self.matrix else self.tone.name

    @property
    def is_srgb(self) -> bool:
        """Whether its values are those that the network knows."""
        return self.tone.is_srgb and not self.matrix

    @functools.cached_property
    def _forth(self) -> Colours:
        return np.array(self.matrix, np.float32).reshape(3, 3).T

    @functools.cached_property
    def _inverse(self) -> Colours:
        return np.linalg.inv(np.array(self.matrix).reshape(3, 3)).T.astype(np.float32)

    def light(self, rows: Rows) -> Colours:
        """Light of sRGB's primaries, float32[n,W,C]; below 0 for what sRGB does not hold, above 1 beyond white."""
        light = np.stack([self.tone.light_of(rows[:, :, channel], channel) for channel in range(rows.shape[2])], 2)
        return self.across(_shown(light, self.gamma))

    def across(self, light: Colours) -> Colours:
        """Light of these primaries as light of sRGB's."""
        return light @ self._forth if self.matrix and light.shape[2] == 3 else light

    def back(self, light: Colours) -> Colours:
        """The reverse."""
        return light @ self._inverse if self.matrix and light.shape[2] == 3 else light

    def seen(self, rows: Rows) -> Colours:
        """What a network sees of [n,W,C]: as sRGB has it, float32[n,W,C] in [0, 1]; NaN stays NaN."""
        if self.is_srgb:
            return np.clip(as_floats(rows), 0, 1)
        return _encoded(self.light(rows))

    def values(self, light: Colours) -> Colours:
        """The reverse of `light`: float32[n,W,C], of which 1 is the greatest integer."""
        own = _shown(self.back(light), 1 / self.gamma)
        return np.stack([self.tone.values_of(own[:, :, channel], channel) for channel in range(own.shape[2])], 2)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"tone": self.tone.to_json(), "matrix": self.matrix, "gamma": self.gamma}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Space:
        """What `to_json` gave."""
        return cls(Tone.from_json(fields["tone"]), tuple(fields["matrix"]), fields["gamma"])


def exchanged(original: Rows, seen: Colours, made: Colours, given: Space, wanted: Space) -> Colours:
    """The values of what a network made, float32[n,W,C], of which 1 is the greatest integer.

    What it changed, in light, is added to the light that was there: so what it did not see, since it is brighter than
    white, darker than black or outside sRGB's colours, is not lost. The further out, the less of the change is added:
    at twice the light of white nothing.

    Args:
        original: as it came.
        seen: what the network saw of it, encoded as sRGB.
        made: what it made of that; it may leave [0, 1].
        given: the space of what came.
        wanted: the space of what goes.
    """
    change = _light(made)
    change -= _light(seen)
    if given != wanted or given.gamma != 1:
        before = given.light(original)
        change *= _trust(before)
        after = wanted.values(before + change)
        return after if given != wanted else after - given.values(before) + as_floats(original)
    # In the primaries of the file, and not by way of light alone: where nothing was changed the values are the same.
    channels = range(original.shape[2])
    own = np.stack([given.tone.light_of(original[:, :, channel], channel) for channel in channels], 2)
    change *= _trust(given.across(own))
    own += given.back(change)
    return np.stack(
        [given.tone.values_of(own[:, :, each], each) + given.tone.own(original[:, :, each], each) for each in channels],
        2,
    )


def _trust(light: Colours) -> Colours:
    """The share of a change that is taken, by how far the light is outside of what a network sees."""
    return np.clip(1 - np.maximum(light - 1, -light), 0, 1)


def _shown(light: Colours, gamma: float) -> Colours:
    """Light to the power of `gamma` in its luminance, by ITU-R BT.2100's OOTF; its colours stay."""
    if gamma == 1:
        return light
    luminance = light @ _LUMINANCE if light.shape[2] == 3 else light[:, :, 0]
    made: Colours = light * (np.maximum(np.abs(luminance), _LEAST) ** np.float32(gamma - 1))[:, :, None]
    return made


def _encoded(light: Colours) -> Colours:
    """As sRGB has it, in [0, 1]."""
    place = np.sqrt(np.clip(light, 0, 1)) * np.float32(_GRID)
    if np.isnan(place).any():
        return light_to_srgb(np.clip(light, 0, 1)).astype(np.float32)
    return np.take(_srgb_of_roots(), nearest(place), mode="clip")


def _light(encoded: Colours) -> Colours:
    """Of what is encoded as sRGB; straight on beyond [0, 1]."""
    inside = np.clip(encoded, 0, 1)
    made: Colours = np.take(_light_of_srgb(), nearest(inside * np.float32(_GRID)), mode="clip")
    beyond = encoded - inside
    if beyond.any():
        made += beyond * np.where(beyond > 0, np.float32(_SRGB_WHITE_SLOPE), np.float32(1 / 12.92))
    return made


@functools.cache
def _srgb_of_roots() -> Colours:
    """sRGB's values for each square root of light."""
    return light_to_srgb(np.linspace(0, 1, _GRID + 1) ** 2).astype(np.float32)


@functools.cache
def _light_of_srgb() -> Colours:
    """The light of each of sRGB's values."""
    return srgb_to_light(np.linspace(0, 1, _GRID + 1)).astype(np.float32)


SRGB_SPACE, LINEAR_SPACE = Space(SRGB), Space(LINEAR)
