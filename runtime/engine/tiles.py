"""One image on its way through the model: its rows become tiles, its restored tiles become rows again."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Generic

import numpy as np

from nafnet.errors import UsageError
from nafnet.images.pixels import WHITE, PixelType, Rows, convert_depth
from nafnet.runtime.engine.events import I, Layout
from nafnet.spec import ModelSpec
from nafnet.tiling import Planes, TileBlender, TileCutter, TilePlan
from nafnet.wire import Batch


@dataclasses.dataclass(eq=False)
class Tile(Generic[I]):
    """One tile of an image on its way to the backend."""

    image: TiledImage[I]
    planes: Batch
    """float32[G,c,h,w]: one image for the model, or one for each channel where it takes a single one."""

    @property
    def item(self) -> I:
        """Whose tile it is."""
        return self.image.item


class TiledImage(Generic[I]):
    """What is under way of one image.

    Args:
        item: whose image it is.
        layout: of what comes in and of what goes out.
        plan: its tiles.
        spec: of the model.

    Raises:
        UsageError: the model would lose what the image holds.
    """

    def __init__(self, item: I, layout: Layout, plan: TilePlan, spec: ModelSpec) -> None:
        if spec.io == "uint8" and layout.given != "uint8":
            raise UsageError(
                f"image of {layout.given}; this model takes and gives 8 bits (--io uint8) and would lose the "
                "rest: use an export with --io float32"
            )
        self.item, self.layout, self._spec = item, layout, spec
        self._cutter, self._blender = TileCutter(plan), TileBlender(plan, layout.channels)
        self._originals: deque[Rows] = deque()
        self._rows_done = 0

    @property
    def begun(self) -> bool:
        """Whether rows of it have come out."""
        return self._rows_done > 0

    @property
    def complete(self) -> bool:
        """Whether all of its rows have come out."""
        return self._rows_done == self.layout.height

    def tiles(self, rows: Rows) -> Iterator[Tile[I]]:
        """Take the next rows, [n,W,C] with alpha; gives the tiles that are complete with them."""
        self._originals.append(rows)
        for tile in self._cutter.feed(rows[:, :, : self.layout.channels]):
            yield Tile(self, self._to_planes(tile))

    def add(self, planes: Planes) -> tuple[Rows, Rows] | None:
        """Take the next restored tile, float32[G,c,h,w]; gives rows that are finished and what they were made of."""
        self.item.tiles += 1
        finished = self._blender.add(self._to_image(planes))
        if finished is None:
            return None
        self._rows_done += finished.shape[1]
        original = self._take_originals(finished.shape[1])
        colours = to_pixels(finished, self.layout.wanted)
        if not self.layout.alpha:
            return colours, original
        alpha = convert_depth(original[:, :, -1:], self.layout.wanted)
        return np.concatenate([colours, alpha], axis=2), original

    def _to_planes(self, tile: Rows) -> Planes:
        """[h,w,C] as the model takes it: float32[G,c,h,w] in [0, 1], grey repeated where it wants RGB."""
        planes = np.ascontiguousarray(tile.transpose(2, 0, 1), np.float32)
        scale = WHITE[self.layout.given]
        if scale != 1:
            planes *= np.float32(1 / scale)
        if self._spec.channels == 1:
            return planes[:, None]
        return (np.repeat(planes, 3, 0) if len(planes) == 1 else planes)[None]

    def _to_image(self, planes: Planes) -> Planes:
        """float32[G,c,h,w] as float32[C,h,w]; RGB is averaged where the image is grey."""
        image = planes[:, 0] if self._spec.channels == 1 else planes[0]
        if self.layout.channels == 1 and len(image) == 3:
            # In double, the mean of three equal values is that value.
            return image.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
        return image

    def _take_originals(self, count: int) -> Rows:
        """The next `count` rows of what came in."""
        taken, missing = [], count
        while missing:
            rows = self._originals.popleft()
            if len(rows) > missing:
                self._originals.appendleft(rows[missing:])
                rows = rows[:missing]
            taken.append(rows)
            missing -= len(rows)
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


def to_pixels(planes: Planes, kind: PixelType) -> Rows:
    """float32[C,n,W] as [n,W,C]; integers are clipped and rounded, floats are neither. May overwrite `planes`."""
    scale = WHITE[kind]
    if scale != 1:
        planes *= np.float32(scale)
        np.clip(np.rint(planes, out=planes), 0, scale, out=planes)
    # Converted first: there is a quarter of the bytes to turn round then.
    return np.ascontiguousarray(planes.astype(kind, copy=False).transpose(1, 2, 0))
