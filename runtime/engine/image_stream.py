"""Images that come in bands of rows, through a model in batches of tiles, and out in bands again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nafnet.images.formats import Header
from nafnet.runtime.engine.batches import SmallerTileError, Task, TileRunner
from nafnet.runtime.engine.events import Band, Closed, Event, Item, Opened
from nafnet.runtime.engine.tiles import ImageRun
from nafnet.runtime.folder.settings import Output

if TYPE_CHECKING:
    from nafnet.runtime.engine.restorer import Restorer


class Restoration:
    """Restores one stream of images; a batch may have tiles of several.

    Args:
        restorer: says how images are cut, and is told where tiles have to be smaller.
        runner: runs the tiles.
        output: what is written.
    """

    def __init__(self, restorer: Restorer, runner: TileRunner, output: Output) -> None:
        self._restorer, self._runner, self._output = restorer, runner, output
        self._images: list[ImageRun] = []
        """Begun and not complete."""

    def run(self, events: Iterator[Event]) -> Iterator[Event]:
        """The restored images, in the order in which they came; see `Restorer.restore_stream`."""
        tasks = self._tasks(events)
        while True:
            try:
                yield from self._assembled(tasks)
                return
            except SmallerTileError as error:
                self._restorer.shrink_tile(error)
                for image in self._images:  # they are to be begun anew
                    image.abandoned = image.item.again = True
                self._images.clear()

    def _assembled(self, tasks: Iterator[Task]) -> Iterator[Event]:
        for task, planes in self._runner.run(tasks):
            image, begun = task.image, task.image.begun
            made = None
            with image.item.guarded():
                made = image.add(planes)
            if made is None or image.dropped:
                continue
            if not begun:
                yield Opened(image.item, image.target)
            yield Band(image.item, *made)
            if image.complete:
                self._images.remove(image)
                yield Closed(image.item)

    def _tasks(self, events: Iterator[Event]) -> Iterator[Task]:
        image: ImageRun | None = None
        for event in events:
            if isinstance(event, Opened):
                image = None
                self._images = [each for each in self._images if not each.dropped]  # their rows are held no longer
                with event.item.guarded():
                    image = self._begin(event.item, event.header)
                    self._images.append(image)
            elif isinstance(event, Band) and image is not None and not image.dropped:
                yield from self._tasks_of(image, event)

    def _tasks_of(self, image: ImageRun, band: Band) -> Iterator[Task]:
        """The tiles that a band completes; an error while they are cut is the image's own."""
        tasks = image.tasks(band.rows)
        while not image.dropped:
            task = None
            with image.item.guarded():
                task = next(tasks, None)
            if task is None:
                return
            yield task

    def _begin(self, item: Item, header: Header) -> ImageRun:
        target = header.converted(item.job.format or self._output.format, self._output.bits)
        item.report.width, item.report.height, item.report.notes = header.width, header.height, list(target.notes)
        item.report.tiles = item.report.flagged = 0
        plan = self._restorer.plan(header.height, header.width)
        return ImageRun(item, header, target, plan, self._restorer.spec)
