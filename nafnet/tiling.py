"""Cut an image into equal tiles that overlap, and blend the restored tiles without a seam.

An image of any size becomes a grid of tiles of one shape, a multiple of what the model asks for and no larger
than asked. The grid is spread evenly, so no tile is mostly padding; only an image smaller than one tile is
padded, by reflection. Blending is a chain of interpolations, ``canvas + w * (tile - canvas)`` with w rising from
0 to 1 as half a cosine across the overlap: the weights of a pixel sum to one whatever the number of tiles over
it, and where two tiles agree the result is their value exactly.

Both ends work on a stream: rows go in as they are decoded, and finished rows come out, so an image of any size needs
the memory of one row of tiles.

Shapes: C channels, H and W the image's height and width, h and w those of a tile.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import UsageError

PlaneType = Literal["float32", "uint8"]
Planes = NDArray[Any]
"""Of a `PlaneType`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AxisPlan:
    """Where the tiles lie along one axis."""

    length: int
    """Of the image, in pixels."""
    tile: int
    """Of each tile, in pixels; may exceed `length` where there is one tile alone."""
    starts: tuple[int, ...]
    """First pixel of each tile, ascending from 0; the last tile ends with the image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilePlan:
    """A grid of equal tiles, in row-major order."""

    rows: AxisPlan
    columns: AxisPlan

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """(h, w) of every tile, in pixels."""
        return self.rows.tile, self.columns.tile


def plan_tiles(height: int, width: int, *, tile: int, overlap: int, multiple: int, fixed: bool = False) -> TilePlan:
    """Plan the tiles of an image of `height` x `width` pixels, at least 1 x 1.

    Args:
        tile: the largest side of a tile in pixels; a multiple of `multiple`.
        fixed: every tile is `tile` x `tile`, whatever the image's size: a device prepares for that shape alone.
        overlap: the fewest pixels that neighbouring tiles share; the even spread can make it more.
        multiple: tiles' sides are multiples of this.

    Raises:
        UsageError: the tile is no multiple, or the overlap is not in [0, tile).
    """
    check_tile(tile, overlap, multiple)
    rows, columns = (_plan_axis(length, tile, overlap, tile if fixed else multiple) for length in (height, width))
    return TilePlan(rows=rows, columns=columns)


def check_tile(tile: int, overlap: int, multiple: int) -> None:
    """Raise UsageError unless `plan_tiles` can work with these."""
    if tile < multiple or tile % multiple:
        nearest = max(round(tile / multiple), 1) * multiple
        raise UsageError(f"--tile {tile}: expected a multiple of {multiple}, which this model needs; try {nearest}")
    if not 0 <= overlap < tile:
        raise UsageError(f"--overlap {overlap}: expected 0 to {tile - 1}, less than the tile of {tile}")


def _plan_axis(length: int, tile: int, overlap: int, multiple: int) -> AxisPlan:
    """The fewest tiles that cover the axis, then the smallest multiple that still does with that many."""
    if length <= tile:
        return AxisPlan(length=length, tile=-(-length // multiple) * multiple, starts=(0,))
    count = -(-(length - overlap) // (tile - overlap))
    needed = -(-(length + (count - 1) * overlap) // count)
    side = min(-(-needed // multiple) * multiple, tile)
    free = length - side
    return AxisPlan(length=length, tile=side, starts=tuple(index * free // (count - 1) for index in range(count)))


class TileCutter:
    """Cuts an image that comes in bands of rows into tiles, holding no more rows than a row of tiles needs."""

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._tops = deque(plan.rows.starts)
        self._held: list[NDArray[np.generic]] = []
        self._first = 0  # of the rows held
        self._end = 0

    def feed(self, rows: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
        """Take the next rows, [n,W,C]; gives the tiles that are complete with them, [h,w,C], in row-major order.

        A tile may be a view of what was fed. An image smaller than a tile is padded by reflection. With the row after
        its last another of its size begins.
        """
        while len(rows) > (room := self._plan.rows.length - self._end):
            yield from self._feed(rows[:room])
            rows = rows[room:]
        yield from self._feed(rows)

    def _feed(self, rows: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
        """Rows of one image."""
        self._held.append(rows)
        self._end += len(rows)
        height, width = self._plan.tile_shape
        while self._tops and self._end >= min(self._tops[0] + height, self._plan.rows.length):
            top = self._tops.popleft()
            band = self._rows_from(top)[:height]
            for left in self._plan.columns.starts:
                tile = band[:, left : left + width]
                missing = (height - tile.shape[0], width - tile.shape[1])
                # NumPy's reflection repeats as often as it must and copies a single pixel, so even 1 x 1 images pad.
                yield np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else tile
            if self._tops:
                self._rows_from(self._tops[0])
            else:
                self._begin_anew()

    def _begin_anew(self) -> None:
        self._tops.extend(self._plan.rows.starts)
        self._held, self._first, self._end = [], 0, 0

    def _rows_from(self, start: int) -> NDArray[np.generic]:
        """The rows held from `start` on; those before it are let go."""
        held = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        held = held[start - self._first :]
        self._held, self._first = [held], start
        return held


class TileBlender:
    """Puts restored tiles together, a row of tiles at a time; holds one strip and the rows the next one will change.

    Args:
        plan: of the tiles.
        channels: of each.
        kind: of their values. Integers are rounded where tiles are blended, once for each axis, so at a corner the
            result may be a step from the nearest.
    """

    def __init__(self, plan: TilePlan, channels: int, kind: PlaneType = "float32") -> None:
        self._plan, self._channels, self._kind = plan, channels, kind
        self._strip = self._new(plan.rows.tile)
        self._pending, self._waiting = self._new(plan.rows.tile), 0  # rows of it
        self._row = self._column = self._filled = 0

    def add(self, tile: Planes) -> Planes | None:
        """Take the next tile, [C,h,w]; gives rows that are finished, [C,n,W], or None. They stand until the next."""
        columns, rows = self._plan.columns, self._plan.rows
        left = columns.starts[self._column]
        self._filled = _lay(self._strip, tile[:, :, : columns.length], left, self._filled)
        self._column += 1
        if self._column < len(columns.starts):
            return None
        top = rows.starts[self._row]
        self._row += 1
        last = self._row == len(rows.starts)
        self._row = 0 if last else self._row  # with the next tile another image of that size begins
        until = rows.length if last else rows.starts[self._row]
        self._column = self._filled = 0
        self._blend_below()
        finished = self._strip[:, : until - top]
        self._waiting = 0 if last else rows.tile - (until - top)
        self._pending[:, : self._waiting] = self._strip[:, until - top : until - top + self._waiting]
        return finished

    def _blend_below(self) -> None:
        """Blend the strip's upper rows with those that waited for it."""
        old, new = self._pending[:, : self._waiting], self._strip[:, : self._waiting]
        _blend(old, new, ramp(self._waiting).reshape(1, self._waiting, 1), out=new)

    def _new(self, rows: int) -> Planes:
        """[C,n,W], in memory as the tiles are: floats in planes, bytes pixel by pixel."""
        width = self._plan.columns.length
        if self._kind == "uint8":
            return np.empty((rows, width, self._channels), np.uint8).transpose(2, 0, 1)
        return np.empty((self._channels, rows, width), np.float32)


def cut_tiles(image: Planes, plan: TilePlan) -> Iterator[Planes]:
    """The tiles of `image`, float32[C,H,W], in row-major order: each float32[C,h,w]."""
    for tile in TileCutter(plan).feed(image.transpose(1, 2, 0)):
        yield tile.astype(np.float32, copy=False).transpose(2, 0, 1)


def blend_tiles(tiles: Iterable[Planes], plan: TilePlan, channels: int) -> Planes:
    """Put restored tiles, in the order of `cut_tiles`, together again: float32[C,H,W]."""
    blender = TileBlender(plan, channels)
    return np.concatenate([rows.copy() for tile in tiles if (rows := blender.add(tile)) is not None], axis=1)


def _lay(strip: Planes, tile: Planes, left: int, filled: int) -> int:
    """Lay `tile` on `strip` from column `left`, blending what lies before `filled`; returns the column it ends at."""
    end = left + tile.shape[2]
    shared = max(filled - left, 0)
    if shared:
        old = strip[:, :, left:filled]
        _blend(old, tile[:, :, :shared], ramp(shared), out=old)
    strip[:, :, max(filled, left) : end] = tile[:, :, shared:]
    return end


def _blend(old: Planes, new: Planes, weight: NDArray[np.float32], out: Planes) -> None:
    """Write old + weight * (new - old); `out` may be one of them."""
    if out.dtype == np.float32:
        difference = new - old
        difference *= weight
        np.add(old, difference, out=out)
        return
    difference = np.subtract(new, old, dtype=np.float32)
    difference *= weight
    difference += old
    np.copyto(out, np.rint(difference, out=difference), casting="unsafe")


def ramp(length: int) -> NDArray[np.float32]:
    """The weight of the later of two tiles across `length` shared pixels: half a cosine, from near 0 to near 1.

    It is point symmetric, ramp[i] + ramp[length-1-i] = 1, so the two tiles are treated alike.
    """
    return ((1 - np.cos(np.pi * (np.arange(length) + 0.5) / length)) / 2).astype(np.float32)
