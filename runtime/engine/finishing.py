"""From a picture's values to what the network sees, and from what it made of them to the values of the result.

Shapes: n rows, W width, C colour channels, 1 (grey) or 3 (RGB), without alpha; h, w of a tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.images.colour.tone import Tone
from nafnet.images.pixels import WHITE, PixelType, Rows, convert_depth
from nafnet.runtime.engine.events import Layout
from nafnet.runtime.engine.hands import Hands
from nafnet.tiling import Planes

CACHED = 1 << 17
"""Values of a part that a core works on: half a megabyte of float32, which its second cache holds."""


class Finish:
    """What is done to the values of one picture before the network and after it.

    Values that are not encoded as sRGB are given to the network as if they were, and what it made is encoded as they
    are. It sees what is brighter than diffuse white, or darker than black, as these; what it changes is added to what
    was there, less and less until at twice the light of white nothing is.

    Args:
        layout: of the picture.
        hands: do it in parts.
    """

    def __init__(self, layout: Layout, hands: Hands) -> None:
        self._layout, self._hands = layout, hands
        tone, floats = layout.tone, layout.given == "float32"
        untouched = tone is None or (tone.is_srgb and not floats)
        self._tone: Tone | None = None if untouched else tone
        """Of what comes, where the network is not to see it as it is."""
        self._is_same = layout.tone == layout.wanted_tone
        self._is_direct = untouched and layout.look.is_whole and (self._is_same or _is_srgb(layout.wanted_tone))

    @property
    def sees_as_it_is(self) -> bool:
        """Whether the network sees the values themselves."""
        return self._tone is None

    def seen(self, pixels: Rows) -> NDArray[np.float32]:
        """What the network is to see of [h,w,C]: float32[h,w,C], where white is 1."""
        if self._tone:
            return self._tone.encoded(pixels)
        return pixels * np.float32(1 / WHITE[pixels.dtype.name])

    def pixels(self, planes: Planes, original: Rows) -> Rows:
        """The result of rows, [n,W,C] as they are wanted.

        Args:
            planes: what the network made, [C,n,W]; float32, or uint8 of a model that gives 8 bits. May be overwritten.
            original: the rows that came, [n,W,C].
        """
        layout, wanted = self._layout, self._layout.wanted
        if self._is_direct:
            return to_pixels(planes, wanted, self._hands)
        if layout.look.is_nothing and self._is_same:
            return convert_depth(original, wanted)
        made = np.empty(original.shape, wanted)

        def turn(rows: slice) -> None:
            part = planes[:, rows].transpose(1, 2, 0)
            part = part * np.float32(1 / 255) if part.dtype == np.uint8 else part
            made[rows] = _as_kind(self._values(part, original[rows]), wanted)

        self._hands.over_rows(turn, len(original), max(CACHED // (original.shape[1] * original.shape[2]), 1))
        return made

    def _values(self, made: NDArray[Any], original: Rows) -> NDArray[np.float32]:
        """float32[n,W,C], of which 1 is the greatest integer, of the wanted tone."""
        layout = self._layout
        seen = self.seen(original)
        mixed = layout.look.mixed(seen, made)
        if not self._is_same:
            return _decoded(layout.wanted_tone, mixed)
        if self._tone is None:
            return mixed
        # What the network was shown may be rounded, and it does not see what is beyond white: its change is added.
        values = original * np.float32(1 / WHITE[original.dtype.name])
        change = _decoded(self._tone, mixed)
        change -= _decoded(self._tone, seen)
        _fade(change, values, self._tone)
        change += values
        return change


def _is_srgb(tone: Tone | None) -> bool:
    return tone is None or tone.is_srgb


def _decoded(tone: Tone | None, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of a tone for what is encoded as sRGB, float32[n,W,C]."""
    if tone is None or tone.is_srgb:
        return encoded.copy()
    return np.stack([tone.values(encoded[:, :, channel], channel) for channel in range(encoded.shape[2])], axis=2)


def _fade(change: NDArray[np.float32], values: NDArray[np.float32], tone: Tone) -> None:
    """Take from a change what is made where the network saw white for something brighter, or black for less."""
    for channel in range(values.shape[2]):
        white, twice = tone.white[min(channel, len(tone.white) - 1)]
        own = values[:, :, channel]
        beyond = np.maximum(own - white, -own)
        if beyond.max(initial=0.0) > 0:
            change[:, :, channel] *= np.clip(1 - beyond / max(twice - white, np.float32(1e-3)), 0, 1)


def _as_kind(values: NDArray[np.float32], kind: PixelType) -> Rows:
    if kind == "float32":
        return values
    scale = np.float32(WHITE[kind])
    return np.clip(np.rint(values * scale), 0, scale).astype(kind)


def to_pixels(planes: Planes, kind: PixelType, hands: Hands) -> Rows:
    """[C,n,W] as [n,W,C]; floats become integers clipped and rounded. May overwrite `planes`."""
    if planes.dtype == np.uint8:
        return convert_depth(planes.transpose(1, 2, 0).copy(), kind)
    channels, height, width = planes.shape
    pixels = np.empty((height, width, channels), kind)
    scale = np.float32(WHITE[kind])

    def turn(rows: slice) -> None:
        part = planes[:, rows]
        if scale != 1:
            part *= scale
            np.clip(np.rint(part, out=part), 0, scale, out=part)
        # Converted first: there is a quarter of the bytes to turn round then.
        converted = part.astype(kind, copy=False)
        for channel in range(channels):
            pixels[rows, :, channel] = converted[channel]

    hands.over_rows(turn, height, max(CACHED // (channels * width), 1))
    return pixels
