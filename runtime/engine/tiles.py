"""One image on its way through the model: its rows become tiles, its restored tiles become rows again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from nafnet.errors import UsageError
from nafnet.images.formats import WHITE, Header, PixelType
from nafnet.images.reader import Rows
from nafnet.runtime.engine.batches import Task
from nafnet.runtime.engine.events import Item
from nafnet.spec import ModelSpec
from nafnet.tiling import Planes, TileBlender, TileCutter, TilePlan


class ImageRun:
    """The state of one image.

    Args:
        item: whose image it is.
        source: what comes in.
        target: what goes out; of the same size and channels, perhaps of another depth.
        plan: its tiles.
        spec: of the model.

    Raises:
        UsageError: the model would lose what the image holds.
    """

    def __init__(self, item: Item, source: Header, target: Header, plan: TilePlan, spec: ModelSpec) -> None:
        if spec.io == "uint8" and source.pixel_type != "uint8":
            raise UsageError(
                f"image of {source.pixel_type}; this model takes and gives 8 bits (--io uint8) and would lose the "
                "rest: use an export with --io float32"
            )
        self.item, self.source, self.target, self.plan, self._spec = item, source, target, plan, spec
        self._cutter, self._blender = TileCutter(plan), TileBlender(plan, source.channels)
        self._originals: deque[Rows] = deque()
        self._rows_done = 0
        self.abandoned = False
        """To be begun anew; what is under way of it is dropped."""

    @property
    def dropped(self) -> bool:
        """Whether its tiles need not be restored any more."""
        return self.abandoned or self.item.failed

    @property
    def begun(self) -> bool:
        """Whether rows of it have come out."""
        return self._rows_done > 0

    @property
    def complete(self) -> bool:
        """Whether all of its rows have come out."""
        return self._rows_done == self.source.height

    def tasks(self, rows: Rows) -> Iterator[Task]:
        """Take the next rows of the file; gives the tiles that are complete with them."""
        self._originals.append(rows)
        for tile in self._cutter.feed(rows[:, :, : self.source.channels]):
            yield Task(self, self._to_planes(tile))

    def add(self, planes: Planes) -> tuple[Rows, Rows] | None:
        """Take the next restored tile, float32[G,c,h,w]; gives rows that are finished and what they were made of."""
        self.item.report.tiles += 1
        finished = self._blender.add(self._to_image(planes))
        if finished is None:
            return None
        self._rows_done += finished.shape[1]
        original = self._take_originals(finished.shape[1])
        colours = to_pixels(finished, self.target.pixel_type)
        if not self.source.alpha:
            return colours, original
        alpha = convert_depth(original[:, :, -1:], self.target.pixel_type)
        return np.concatenate([colours, alpha], axis=2), original

    def _to_planes(self, tile: Rows) -> Planes:
        """[h,w,C] as the model takes it: float32[G,c,h,w] in [0, 1], grey repeated where it wants RGB."""
        planes = np.ascontiguousarray(tile.transpose(2, 0, 1), np.float32)
        scale = WHITE[self.source.pixel_type]
        if scale != 1:
            planes *= np.float32(1 / scale)
        if self._spec.channels == 1:
            return planes[:, None]
        return (np.repeat(planes, 3, 0) if len(planes) == 1 else planes)[None]

    def _to_image(self, planes: Planes) -> Planes:
        """float32[G,c,h,w] as float32[C,h,w]; RGB is averaged where the image is grey."""
        image = planes[:, 0] if self._spec.channels == 1 else planes[0]
        if self.source.channels == 1 and len(image) == 3:
            # In double, the mean of three equal values is that value.
            return image.mean(0, keepdims=True, dtype=np.float64).astype(np.float32)
        return image

    def _take_originals(self, count: int) -> Rows:
        """The next `count` rows of the file."""
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


def convert_depth(rows: Rows, kind: PixelType) -> Rows:
    """Rows in another depth: white stays white."""
    if rows.dtype == kind:
        return rows
    scaled = rows.astype(np.float64) * (WHITE[kind] / WHITE[rows.dtype.name])
    return (scaled if kind == "float32" else np.clip(np.rint(scaled), 0, WHITE[kind])).astype(kind)
