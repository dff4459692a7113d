"""Images that come in bands of rows, through a model in batches of tiles, and out in bands again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic

from nafnet.errors import BackendError, HostMemoryError
from nafnet.runtime.engine.batches import SmallerTileError, TileRunner
from nafnet.runtime.engine.events import Band, Closed, Event, I, Opened
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.tiles import Tile, TiledImage
from nafnet.spec import ModelSpec
from nafnet.tiling import TilePlan


class ImageStream(Generic[I]):
    """Restores one stream of images; a batch may have tiles of several.

    Args:
        spec: of the model.
        runner: runs the tiles.
        plan: how an image of a height and a width is cut, from now on.
        hands: to turn what is restored into pixels.
        shrink: called when not even one tile fits the device; afterwards `plan` cuts smaller ones, or it raises.
    """

    def __init__(
        self,
        spec: ModelSpec,
        runner: TileRunner[Tile[Any]],
        plan: Callable[[int, int], TilePlan],
        hands: Hands,
        shrink: Callable[[SmallerTileError], None],
    ) -> None:
        self._spec, self._runner, self._plan, self._hands, self._shrink = spec, runner, plan, hands, shrink
        self._images: list[TiledImage[I]] = []
        """Begun and not complete."""

    def run(self, events: Iterator[Event[I]]) -> Iterator[Event[I]]:
        """The restored images, in the order in which they came; see `Restorer.restore_stream`."""
        tiles = self._tiles(events)
        while True:
            try:
                yield from self._assembled(tiles)
                return
            except SmallerTileError as error:
                self._begin_anew(error)
                self._images.clear()

    def _begin_anew(self, error: SmallerTileError) -> None:
        """Have the images that are under way fed once more, in smaller tiles.

        Where there are none, and it is the machine that is short of memory, they have failed and others may not.
        """
        try:
            self._shrink(error)
        except BackendError as last:
            if not isinstance(error.__cause__, HostMemoryError):
                raise
            for image in self._images:
                image.item.fail(last)
        for image in self._images:
            image.item.ask_again()

    def _assembled(self, tiles: Iterator[Tile[I]]) -> Iterator[Event[I]]:
        for tile, planes in self._runner.run(tiles):
            image, begun = tile.image, tile.image.begun
            made = None
            with image.item.guarded():
                made = image.add(tile, planes)
            if made is None or not image.item.under_way:
                continue
            if not begun:
                yield Opened(image.item, image.layout)
            (rows, *others), originals = made
            yield Band(image.item, rows, originals, others)
            if image.complete:
                self._images.remove(image)
                yield Closed(image.item)

    def _tiles(self, events: Iterator[Event[I]]) -> Iterator[Tile[I]]:
        image: TiledImage[I] | None = None
        for event in events:
            if isinstance(event, Opened):
                image = None
                # The rows of what failed are held no longer.
                self._images = [each for each in self._images if each.item.under_way]
                with event.item.guarded():
                    plan = self._plan(event.layout.height, event.layout.width)
                    image = TiledImage(event.item, event.layout, plan, self._spec, self._hands)
                    self._images.append(image)
            elif isinstance(event, Band) and image is not None and image.item.under_way:
                yield from self._tiles_of(image, event)

    def _tiles_of(self, image: TiledImage[I], band: Band[I]) -> Iterator[Tile[I]]:
        """The tiles that a band completes; an error while they are cut is the image's own."""
        tiles = image.tiles(band.rows)
        while image.item.under_way:
            tile = None
            with image.item.guarded():
                tile = next(tiles, None)
            if tile is None:
                return
            yield tile
