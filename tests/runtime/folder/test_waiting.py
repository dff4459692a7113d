"""What waits between the stages is bounded by its bytes, those that a file carries beside its pixels included."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from nafnet.runtime.engine.events import Band, Closed, Opened
from nafnet.runtime.folder.byte_queue import ByteQueue, size_of
from nafnet.runtime.folder.memory import QUEUE_BYTES
from nafnet.runtime.folder.photograph import PhotographItem
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.runtime.folder.source import Source
from nafnet.runtime.paths.job import Job
from tests.processes import GUARD

CARRIED = 12 * 2**20  # below what is kept of one field


def small_pictures(folder: Path, count: int) -> list[PhotographItem]:
    """PNGs of 16x16 pixels with 12 MB of XMP each, of which the file has 12 kB."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * CARRIED, zip=True)
    Image.new("RGB", (16, 16)).save(folder / "0.png", pnginfo=text)
    assert (folder / "0.png").stat().st_size < 10**5
    for index in range(1, count):
        (folder / f"{index}.png").write_bytes((folder / "0.png").read_bytes())
    jobs = [Job(source=folder / f"{index}.png", target=folder / f"{index}-out.png") for index in range(count)]
    return [PhotographItem([(job, FileReport.of(job))], lambda _: None) for job in jobs]


def test_what_a_file_carries_counts(tmp_path: Path) -> None:
    """Nobody takes anything from the queue: no more files may be opened than it has room for."""
    most = QUEUE_BYTES // CARRIED
    items = small_pictures(tmp_path, most + 6)
    full = threading.Event()

    def wanted(item: PhotographItem, *_: object) -> bool:
        if item is items[most + 1]:  # the decoder holds the one before, for which there is no room
            full.set()
        return True

    source = Source(items, 1, Limits(), Encoding(), wanted, lambda _: None)
    try:
        given_up = time.monotonic() + GUARD
        while not items[most].files[0].target:
            assert time.monotonic() < given_up
            time.sleep(0.005)
        assert not full.wait(1.0), "one more was begun: a wait that ends early where the bound does not hold"
        opened = [item for item in items if item.files[0].target]
        assert len(opened) == most + 1
        assert sum(item.metadata_bytes for item in opened) >= len(opened) * CARRIED
        (queue,) = source._queues
        assert queue._bytes <= QUEUE_BYTES
    finally:
        source.close()


def test_what_is_taken_makes_the_room_that_it_took(tmp_path: Path) -> None:
    """Also where an item has let go of what it carried, as one that failed does."""
    (item,) = small_pictures(tmp_path, 1)
    queue = ByteQueue(QUEUE_BYTES, size_of)
    source = Source([item], 1, Limits(), Encoding(), lambda *_: True, lambda _: None)
    try:
        for event in source:
            queue.put(event)
            if isinstance(event, Opened):
                assert queue._bytes > CARRIED
    finally:
        source.close()
    item.fail(ValueError("for one reason or another"))
    assert item.metadata_bytes == 0
    queue.close()
    kinds = [type(event) for event in queue]
    assert kinds == [Opened, Band, Closed]
    assert queue._bytes == 0


def test_a_value_larger_than_the_limit_passes_alone() -> None:
    queue: ByteQueue[np.ndarray] = ByteQueue(10, lambda value: value.nbytes)  # type: ignore[type-arg]
    assert queue.put(np.zeros(100, np.uint8))
    queue.close()
    assert len(list(queue)) == 1
