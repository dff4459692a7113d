"""Cut an image into equal tiles that overlap, and blend the restored tiles without a seam.

An image of any size becomes a grid of tiles of one shape, a multiple of what the model asks for and no larger
than asked. The grid is spread evenly, so no tile is mostly padding; only an image smaller than one tile is
padded, by reflection. Blending is a chain of interpolations, ``canvas + w * (tile - canvas)`` with w rising from
0 to 1 as half a cosine across the overlap: the weights of a pixel sum to one whatever the number of tiles over
it, and where two tiles agree the result is their value exactly.

Shapes: C channels, H and W the image's height and width, h and w those of a tile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import UsageError

Planes = NDArray[np.float32]


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


def plan_tiles(height: int, width: int, *, tile: int, overlap: int, multiple: int) -> TilePlan:
    """Plan the tiles of an image of `height` x `width` pixels, at least 1 x 1.

    Args:
        tile: the largest side of a tile in pixels; a multiple of `multiple`.
        overlap: the fewest pixels that neighbouring tiles share; the even spread can make it more.
        multiple: tiles' sides are multiples of this.

    Raises:
        UsageError: the tile is no multiple, or the overlap is not in [0, tile).
    """
    check_tile(tile, overlap, multiple)
    sides = (_plan_axis(length, tile, overlap, multiple) for length in (height, width))
    rows, columns = sides
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


def cut_tiles(image: Planes, plan: TilePlan) -> Iterator[Planes]:
    """The tiles of `image`, float32[C,H,W], in row-major order: each float32[C,h,w]."""
    height, width = plan.tile_shape
    missing = (max(height - plan.rows.length, 0), max(width - plan.columns.length, 0))
    if any(missing):
        # NumPy's reflection repeats as often as it must and copies a single pixel, so even 1 x 1 images pad.
        image = np.pad(image, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")
    for top in plan.rows.starts:
        for left in plan.columns.starts:
            yield image[:, top : top + height, left : left + width]


def blend_tiles(tiles: Iterable[Planes], plan: TilePlan, channels: int) -> Planes:
    """Put restored tiles, in the order of `cut_tiles`, together again: float32[C,H,W].

    Each row of tiles is blended into a strip, and the strip into the image, so nothing but the image and one
    strip is held. A tile may be overwritten while it is blended in.
    """
    rows, columns = plan.rows, plan.columns
    image = np.empty((channels, rows.length, columns.length), np.float32)
    strip = np.empty((channels, rows.tile, columns.length), np.float32)
    remaining = iter(tiles)
    filled_rows = 0
    for top in rows.starts:
        filled_columns = 0
        for left in columns.starts:
            tile = next(remaining)[:, :, : columns.length]
            filled_columns = _lay(strip, tile, left, filled_columns, axis=2)
        filled_rows = _lay(image, strip[:, : rows.length], top, filled_rows, axis=1)
    return image


def _lay(canvas: Planes, piece: Planes, start: int, filled: int, *, axis: int) -> int:
    """Lay `piece` on `canvas` at `start`, blending what lies before `filled`; returns where it now ends."""
    end = start + piece.shape[axis]
    shared = filled - start
    if shared > 0:
        old = _span(canvas, start, filled, axis)
        difference = _span(piece, 0, shared, axis) - old
        shape = [1, 1, 1]
        shape[axis] = shared
        difference *= ramp(shared).reshape(shape)
        old += difference
    _span(canvas, filled, end, axis)[...] = _span(piece, max(shared, 0), piece.shape[axis], axis)
    return end


def _span(array: Planes, start: int, end: int, axis: int) -> Planes:
    """A view of `array` from `start` to `end` along `axis`, 1 or 2."""
    return array[:, start:end] if axis == 1 else array[:, :, start:end]


def ramp(length: int) -> NDArray[np.float32]:
    """The weight of the later of two tiles across `length` shared pixels: half a cosine, from near 0 to near 1.

    It is point symmetric, ramp[i] + ramp[length-1-i] = 1, so the two tiles are treated alike.
    """
    return ((1 - np.cos(np.pi * (np.arange(length) + 0.5) / length)) / 2).astype(np.float32)
