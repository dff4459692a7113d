"""One image on its way through the model: its rows become tiles, its restored tiles become rows again."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Iterator
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import ImageError, UsageError
from nafnet.images.pixels import WHITE, Rows, convert_depth
from nafnet.runtime.backends.pending import Wired
from nafnet.runtime.engine.batches import NOT_FINITE
from nafnet.runtime.engine.events import I, Layout
from nafnet.runtime.engine.finishing import Finish
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.look import with_structure
from nafnet.spec import ModelSpec, WireType
from nafnet.tiling import Planes, PlaneType, TileBlender, TileCutter, TilePlan
from nafnet.wire import Batch, from_wire, to_wire

MOST_LIGHT = 16.0
"""Mean of some rows of a picture; none is four stops brighter than white, and one whose white is 255 is."""


@dataclasses.dataclass(eq=False)
class Tile(Generic[I]):
    """One tile of an image on its way to the backend."""

    image: TiledImage[I]
    pixels: Rows
    """[h,w,C], as they came."""

    @property
    def item(self) -> I:
        """Whose tile it is."""
        return self.image.item

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(G, c, h, w): one image for the model, or one for each channel where it takes a single one."""
        height, width, channels = self.pixels.shape
        single = self.image.spec.channels == 1
        return (channels if single else 1), (1 if single else 3), height, width

    @property
    def planes(self) -> Batch:
        """float32[G,c,h,w] in [0, 1]."""
        planes = np.empty(self.shape, np.float32)
        self.write(planes)
        return planes

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value, where white is 1; NaN if any is."""
        if self.pixels.dtype.kind == "u" or not self.image.finish.sees_as_it_is:
            return 0.0, 1.0
        return float(self.pixels.min()), float(self.pixels.max())

    def write(self, out: Wired) -> None:
        """Write it as a model takes it: float32 or float16 [G,c,h,w], or uint8[G,h,w,c]; grey repeated for RGB."""
        single = self.image.spec.channels == 1
        finish, pixels = self.image.finish, self.pixels
        if not finish.sees_as_it_is:
            pixels = finish.seen(pixels)
        if out.dtype == np.uint8:
            eight_bits = pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255)
            if single:
                out[..., 0] = eight_bits.transpose(2, 0, 1)
            else:
                out[0] = eight_bits
            return
        write_planes(pixels, out[:, 0] if single else out[0])


class TiledImage(Generic[I]):
    """What is under way of one image.

    Args:
        item: whose image it is.
        layout: of what comes in and of what goes out.
        plan: its tiles.
        spec: of the model.
        hands: to turn what is restored into pixels.

    Raises:
        UsageError: the model would lose what the image holds.
    """

    def __init__(self, item: I, layout: Layout, plan: TilePlan, spec: ModelSpec, hands: Hands) -> None:
        if spec.io == "uint8" and layout.given != "uint8":
            raise UsageError(
                f"image of {layout.given}; this model takes and gives 8 bits (--io uint8) and would lose the "
                "rest: use an export with --io float32"
            )
        self.item, self.layout, self.spec = item, layout, spec
        self.finish = Finish(layout, hands, in_bytes=spec.io == "uint8")
        """From values to what the network sees, and back."""
        kind: PlaneType = "uint8" if spec.io == "uint8" else "float32"
        self._cutter = TileCutter(plan)
        self._blenders = {look.detail: TileBlender(plan, layout.channels, kind) for look in layout.looks}
        """By the detail that comes back, which is given to tiles; the rest is a matter of rows."""
        self._originals: deque[Rows] = deque()
        self._rows_done = 0

    @property
    def begun(self) -> bool:
        """Whether rows of it have come out."""
        return self._rows_done > 0

    @property
    def complete(self) -> bool:
        """Whether all of its rows have come out."""
        return self._rows_done == self.layout.height * self.layout.frames

    def tiles(self, rows: Rows) -> Iterator[Tile[I]]:
        """Take the next rows, [n,W,C] with alpha; gives the tiles that are complete with them."""
        self._originals.append(rows)
        colours = rows[:, :, : self.layout.channels]
        if not self.finish.sees_as_it_is and rows.dtype == np.float32:
            check_light(colours)
        for tile in self._cutter.feed(colours):
            yield Tile(self, tile)

    def add(self, tile: Tile[I], restored: Wired) -> tuple[list[Rows], list[Rows]] | None:
        """Take the next restored tile; gives finished rows, for each look, and what they were made of, in parts.

        Args:
            tile: as it was given.
            restored: float32[G,c,h,w], or uint8[G,h,w,c]; it is not kept.
        """
        self.item.tiles += 1
        finished = {
            detail: blender.add(self._to_image(_with_detail(tile, restored, detail)))
            for detail, blender in self._blenders.items()
        }
        planes = {detail: rows for detail, rows in finished.items() if rows is not None}
        if not planes:  # they are all as far
            return None
        count = next(iter(planes.values())).shape[1]
        self._rows_done += count
        originals = self._take_originals(count)
        return self._results(planes, originals), originals

    def _results(self, planes: dict[float, Planes], originals: list[Rows]) -> list[Rows]:
        """The finished rows of each look, with alpha, from those with its detail."""
        looks, made = self.layout.looks, []
        last = {look.detail: index for index, look in enumerate(looks)}
        for index, look in enumerate(looks):
            ours = planes[look.detail]
            made.append(self.finish.pixels(ours if index == last[look.detail] else ours.copy(), originals, look))
        if not self.layout.alpha:
            return made
        alpha = convert_depth(np.concatenate([rows[:, :, -1:] for rows in originals]), self.layout.wanted)
        return [np.concatenate([colours, alpha], axis=2) for colours in made]

    def _to_image(self, restored: Wired) -> Planes:
        """A restored tile as [C,h,w]; RGB is averaged where the image is grey."""
        planes = restored.transpose(0, 3, 1, 2) if restored.dtype == np.uint8 else restored
        image = planes[:, 0] if self.spec.channels == 1 else planes[0]
        if self.layout.channels == 1 and len(image) == 3:
            # In double, the mean of three equal values is that value.
            mean = image.mean(0, keepdims=True, dtype=np.float64)
            return (np.rint(mean) if image.dtype == np.uint8 else mean).astype(image.dtype)
        return image

    def _take_originals(self, count: int) -> list[Rows]:
        """The next `count` rows of what came in."""
        taken: list[Rows] = []
        missing = count
        while missing:
            rows = self._originals.popleft()
            if len(rows) > missing:
                self._originals.appendleft(rows[missing:])
                rows = rows[:missing]
            taken.append(rows)
            missing -= len(rows)
        return taken


def check_light(rows: Rows) -> None:
    """Raise ImageError for floats that a network would see white for, though they are no light."""
    mean = float(np.abs(rows).mean(dtype=np.float64))
    if not np.isfinite(mean):
        raise ImageError(NOT_FINITE)
    if mean > MOST_LIGHT:
        raise ImageError(
            f"its values have a mean of {mean:.4g}; expected floats of which 1 is white: divide by 255 or 65535 first"
        )


def _with_detail(tile: Tile[Any], restored: Wired, detail: float) -> Wired:
    """A restored tile with a share of the structure that the model took, as the model gave it."""
    if not detail:
        return restored
    wire: WireType = "uint8" if restored.dtype == np.uint8 else "float32"
    made = from_wire(restored, wire)
    with_it = [with_structure(seen, planes, detail) for seen, planes in zip(tile.planes, made, strict=True)]
    return to_wire(np.stack(with_it), wire)


def write_planes(pixels: Rows, out: Planes) -> None:
    """Write [h,w,C] as [K,h,w] of float32 or float16 in [0, 1]; a single channel is repeated where K is larger."""
    height, width, channels = pixels.shape
    planar: NDArray[Any] = np.empty((channels, height, width), pixels.dtype)
    for channel in range(channels):  # several times as fast as a transposed copy
        planar[channel] = pixels[:, :, channel]
    if pixels.dtype == np.float32:
        out[...] = planar
    elif out.dtype == np.float32:
        np.multiply(planar, np.float32(1 / WHITE[pixels.dtype.name]), out=out)
    else:
        np.take(_halves(pixels.dtype.name), planar, out=out[:channels], mode="clip")
        out[channels:] = out[0]


@functools.cache
def _halves(kind: str) -> NDArray[np.float16]:
    """Each integer of a type as float16 in [0, 1]: a processor looks it up faster than NumPy rounds it."""
    white = WHITE[kind]
    return (np.arange(white + 1, dtype=np.float32) * np.float32(1 / white)).astype(np.float16)
