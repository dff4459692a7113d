"""Clean photographs, decoded once into one file on the disk and read as a memory map without copying.

A store is a folder: pixels.bin holds uint8[H,W,3] of each photograph in turn, index.json the sizes. The index is
written last, so a store that has one is whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from rich.progress import Progress

from nafnet.files import PARTIAL_SUFFIX, exclusive, whole_file, write_whole
from nafnet.train.data.ahead import in_order
from nafnet.train.data.disk import WORTH_SAYING, require_room, writing
from nafnet.train.data.photographs import Photographs
from nafnet.words import in_bytes

VERSION = 1
"""Of what is made of a photograph; part of a store's key, so that one of another version is never taken for it."""
_INDEX, _PIXELS = "index.json", "pixels.bin"
Image = NDArray[np.uint8]


class CleanStore(Sequence[Image]):
    """Some photographs of a store, by number: uint8[H,W,3], read-only views of the file.

    Args:
        folder: a finished store.
        chosen: the numbers of those; None: all.
    """

    def __init__(self, folder: Path, chosen: Sequence[int] | None = None) -> None:
        self.folder = folder
        sizes = np.array(json.loads((folder / _INDEX).read_text(encoding="utf-8")), np.int64).reshape(-1, 2)
        ends = np.cumsum(sizes.prod(1) * 3)
        places = np.column_stack([ends - sizes.prod(1) * 3, sizes])
        self._places = places if chosen is None else places[list(chosen)]
        self._pixels: Image | None = None

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / _PIXELS, np.uint8, mode="r")
        offset, height, width = map(int, self._places[index])
        return self._pixels[offset : offset + height * width * 3].reshape(height, width, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # a worker process maps the file itself


def write_store(
    folder: Path, photographs: Photographs, reduce: int, progress: Progress, say: Callable[[str], None] = lambda _: None
) -> None:
    """Make the store in `folder`, unless it is there; where another run makes it now, wait for that one.

    Args:
        folder: its own for these photographs, this `reduce` and `VERSION`.
        photographs: checked, see `Photographs.faults`.
        reduce: the factor by which each is made smaller.
        progress: gets a task.
        say: takes a line for the user, of how much it will be.

    Raises:
        DataError: a photograph cannot be decoded, or the disk has not the room.
        OutputError: the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while not (folder / _INDEX).exists():
        with exclusive(folder / ".lock") as alone:
            if alone:
                _write_alone(folder, photographs, reduce, progress, say)
        if not alone:
            time.sleep(0.5)


def _write_alone(
    folder: Path, photographs: Photographs, reduce: int, progress: Progress, say: Callable[[str], None]
) -> None:
    for left in folder.glob(f".*{PARTIAL_SUFFIX}"):  # by a run that was killed
        left.unlink()
    sizes = [(height // reduce, width // reduce) for height, width in photographs.sizes]
    needed, what = sum(height * width * 3 for height, width in sizes), f"{len(sizes)} photographs take, once decoded,"
    free = require_room(folder, what, needed, ", or make them smaller (--set photographs.reduce=2)")
    if needed >= WORTH_SAYING:
        say(f"{what} {in_bytes(needed)} of the {in_bytes(free)} that are free in {folder}")
    with (
        writing(folder / _PIXELS),
        whole_file(folder / _PIXELS) as temporary,
        temporary.open("wb") as file,
    ):
        _write(file, photographs, reduce, progress)
    with writing(folder / _INDEX):
        write_whole(folder / _INDEX, json.dumps(sizes).encode())


def _write(file: BinaryIO, photographs: Photographs, reduce: int, progress: Progress) -> None:
    def decoded(index: int) -> Image:
        pixels = photographs.load(index)
        return np.asarray(PillowImage.fromarray(pixels).reduce(reduce))[
            : pixels.shape[0] // reduce, : pixels.shape[1] // reduce
        ]

    images: Iterator[Image] = in_order(decoded, range(len(photographs.names)), os.cpu_count() or 1)
    for image in progress.track(images, total=len(photographs.names), description="decoding photographs"):
        file.write(np.ascontiguousarray(image).data)
