"""From a picture's values to what the network sees, and from what it made of them to the values of the result.

Shapes: n rows, W width, C colour channels, 1 (grey) or 3 (RGB), without alpha; h, w of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.images.colour.space import exchanged
from nafnet.images.pixels import WHITE, PixelType, Rows, as_floats, convert_depth
from nafnet.runtime.engine.events import Layout
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.look import Look
from nafnet.tiling import Planes

CACHED = 1 << 17
"""Values of a part that a core works on: half a megabyte of float32, which its second cache holds."""


class Finish:
    """What is done to the values of one picture before the network and after it.

    Values that are not sRGB's are given to the network as if they were, and what it made becomes values as they were;
    see `nafnet.images.colour.space.exchanged`.

    Args:
        layout: of the picture.
        hands: do it in parts.
        in_bytes: the network sees 256 values.
    """

    def __init__(self, layout: Layout, hands: Hands, *, in_bytes: bool = False) -> None:
        self._layout, self._hands, self._in_bytes = layout, hands, in_bytes
        space, wanted = layout.space, layout.wanted_space
        assert (space is None) == (wanted is None)
        is_plain = space is None or wanted is None or (space.is_srgb and wanted.is_srgb and layout.given != "float32")
        self._spaces = None if is_plain or space is None or wanted is None else (space, wanted)
        """Of what comes and what goes, where the network is not to see values as they are."""

    @property
    def sees_as_it_is(self) -> bool:
        """Whether the network sees the values themselves."""
        return self._spaces is None

    def seen(self, pixels: Rows) -> NDArray[np.float32]:
        """What the network is to see of [h,w,C]: float32[h,w,C], where white is 1."""
        if self._spaces:
            seen = self._spaces[0].seen(pixels)
            return np.rint(seen * np.float32(255)) * np.float32(1 / 255) if self._in_bytes else seen
        return as_floats(pixels)

    def pixels(self, planes: Planes, originals: Sequence[Rows], look: Look) -> Rows:
        """The result of rows, [n,W,C] as they are wanted.

        Args:
            planes: what the network made, [C,n,W]; float32, or uint8 of a model that gives 8 bits. May be overwritten.
            originals: the rows that came, in parts, [n,W,C] with alpha.
            look: how much of what the network made is taken.
        """
        layout, wanted = self._layout, self._layout.wanted
        if self._spaces is None and look.is_whole:
            return to_pixels(planes, wanted, self._hands)
        original = originals[0] if len(originals) == 1 else np.concatenate(originals)
        original = original[:, :, : layout.channels]
        if look.is_nothing and (self._spaces is None or self._spaces[0] == self._spaces[1]):
            return convert_depth(original, wanted)
        made = np.empty(original.shape, wanted)

        def turn(rows: slice) -> None:
            part = planes[:, rows].transpose(1, 2, 0)
            part = part * np.float32(1 / 255) if part.dtype == np.uint8 else part
            made[rows] = _as_kind(self._values(part, original[rows], look), wanted)

        self._hands.over_rows(turn, len(original), max(CACHED // (original.shape[1] * original.shape[2]), 1))
        return made

    def _values(self, made: NDArray[Any], original: Rows, look: Look) -> NDArray[np.float32]:
        """float32[n,W,C], of which 1 is the greatest integer."""
        seen = self.seen(original)
        mixed = look.mixed(seen, made)
        return mixed if self._spaces is None else exchanged(original, seen, mixed, *self._spaces)


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
