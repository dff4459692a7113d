"""Prepared pairs in one file on the disk, read as a memory map without copying.

A store is a folder: pixels.bin holds [H,W,3], degraded and clean in turn, and index.jsonl a line for each pair of the
data set: its pieces as [name, offset, H, W, bits], or why it was left out. Values have the bits that they have in their
files, 8 or 16. The index is called index.partial while the store is written; a store that was interrupted goes on after
the last line of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from nafnet.errors import DataError
from nafnet.files import exclusive
from nafnet.train.data.ahead import in_order
from nafnet.train.data.disk import writing
from nafnet.train.data.pairs import Image, Pairs, Shape
from nafnet.train.data.prepare import Piece, prepared, prepared_shapes
from nafnet.train.data.store_writer import StoreWriter
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.words import counted

_INDEX, _PARTIAL, _PIXELS = "index.jsonl", "index.partial", "pixels.bin"
VERSION = 2
"""Of what is made of a pair, by this module, `prepare` and the decoders; part of a store's key, so that one of another
version is never taken for it."""


class PairStore:
    """The pieces of a store, by number.

    Args:
        folder: a finished store.
    """

    def __init__(self, folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / _INDEX).read_text(encoding="utf-8").splitlines()]
        self.folder = folder
        self.count = len(rows)
        """Of pairs, those that were left out included."""
        self.skipped = [row["skipped"] for row in rows if "skipped" in row]
        items = [item for row in rows for item in row.get("pieces", ())]
        self.names = [item[0] for item in items]
        self._places = np.array([item[1:] for item in items], np.int64).reshape(-1, 4)
        self.size = max(map(_end, self._places.tolist()), default=0)
        """Bytes of pixels."""
        self.deep = bool((self._places[:, 3] > 8).any())
        """Whether any piece has more than 8 bits."""
        self._pixels: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # a worker process maps the file itself

    def shape(self, index: int) -> tuple[int, int]:
        """(H, W) of a piece."""
        return int(self._places[index, 1]), int(self._places[index, 2])

    def pair(self, index: int) -> tuple[Image, Image]:
        """(degraded, clean) of a piece, uint8[H,W,3] or uint16[H,W,3], read-only views of the file."""
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / _PIXELS, np.uint8, mode="r")
        offset, height, width, bits = map(int, self._places[index])
        values = self._pixels[offset : _end((offset, height, width, bits))]
        both = values.view(np.uint16 if bits == 16 else np.uint8).reshape(2, height, width, 3)
        return both[0], both[1]


def _end(place: Sequence[int]) -> int:
    """Where a piece's pixels end, of its (offset, H, W, bits)."""
    offset, height, width, bits = place
    return offset + 2 * height * width * 3 * bits // 8


def stored_size(shapes: Iterable[Shape], config: PrepareConfig, *, training: bool) -> list[int]:
    """Bytes of each piece that is made of pairs of these shapes."""
    pieces = (piece for shape in shapes for piece in prepared_shapes(shape, config, training=training))
    return [_end((0, piece.height, piece.width, piece.bits)) for piece in pieces]


def bytes_there(folder: Path) -> int | None:
    """How much of a store is on the disk already; None where it is finished."""
    if (folder / _INDEX).exists():
        return None
    whole = (folder / _PARTIAL).exists() and (folder / _PIXELS).exists()
    return (folder / _PIXELS).stat().st_size if whole else 0


def open_store(
    folder: Path, pairs: Pairs, config: PrepareConfig, progress: Progress, *, training: bool, skip_bad: bool = False
) -> PairStore:
    """The store in `folder`, written or finished first where that is needed.

    Args:
        folder: its own for these pairs and this config.
        pairs: what to prepare.
        config: how.
        progress: gets a task while the store is written.
        training: whether to mirror and cut as for training.
        skip_bad: leave out pairs that cannot be read, instead of raising.

    Raises:
        DataError: a pair cannot be read, or none is left. A store that is damaged is made anew.
        OutputError: the disk takes no more; what was written stays, and is gone on from.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    while (store := _whole(folder, len(pairs.names))) is None:
        with exclusive(folder / ".lock") as alone:
            if alone:
                _write(folder, pairs, config, progress, training=training, skip_bad=skip_bad)
                continue
        _wait_for_another(folder, progress)
    if store.skipped and not skip_bad:
        bad = counted(len(store.skipped), "pair")
        raise DataError(f"{store.skipped[0]}; mend it, or leave out {bad} with --skip-bad")
    if not len(store):
        reason = store.skipped[0] if store.skipped else "nothing is left of any after it was cut"
        raise DataError(f"none of {counted(len(pairs.names), 'pair')} can be used: {reason}")
    return store


def _whole(folder: Path, count: int) -> PairStore | None:
    """The finished store of `count` pairs; None where there is none, and where it is damaged, which is then removed."""
    if not (folder / _INDEX).exists():
        return None
    try:
        store = PairStore(folder)
        if store.count == count and (folder / _PIXELS).stat().st_size >= store.size:
            return store
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        pass
    for name in (_INDEX, _PARTIAL, _PIXELS):
        (folder / name).unlink(missing_ok=True)
    return None


def _wait_for_another(folder: Path, progress: Progress) -> None:
    """Until the run that prepares these pairs now is done, or gone."""
    task = progress.add_task("waiting for another run, which prepares these pairs", total=None)
    alone = False
    while not alone and not (folder / _INDEX).exists():
        time.sleep(0.5)
        with exclusive(folder / ".lock") as alone:
            pass
    progress.remove_task(task)


def _write(
    folder: Path, pairs: Pairs, config: PrepareConfig, progress: Progress, *, training: bool, skip_bad: bool
) -> None:
    with writing(folder / _PIXELS):
        done, end = _recovered(folder)
        pixels = (folder / _PIXELS).open("ab")
        index = (folder / _PARTIAL).open("ab")
        pixels.truncate(end)
    task = progress.add_task("preparing pairs", total=len(pairs.names), completed=done)
    with contextlib.closing(StoreWriter(pixels, index, end)) as writer:
        for row in _rows(pairs, config, done, training=training):
            if isinstance(row, str) and not skip_bad:
                writer.flush()
                raise DataError(f"{row}; mend it, or go on without it and its like with --skip-bad")
            writer.add(row)
            progress.advance(task)
        writer.flush()
    with writing(folder / _INDEX):
        (folder / _PARTIAL).replace(folder / _INDEX)
    progress.remove_task(task)


def _recovered(folder: Path) -> tuple[int, int]:
    """How many pairs an interrupted writer finished, and where their pixels end; what is half written is cut off.

    What is damaged otherwise is begun anew.
    """
    path = folder / _PARTIAL
    if not path.exists():
        return 0, 0
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
        pieces = [piece for row in rows for piece in row.get("pieces", ())]
        end = _end(pieces[-1][1:]) if pieces else 0
        if (folder / _PIXELS).stat().st_size < end:
            raise ValueError("pixels are missing")
    except (OSError, ValueError, TypeError, IndexError, AttributeError):
        path.unlink()
        return 0, 0
    os.truncate(path, len(whole))
    return len(rows), end


def _rows(pairs: Pairs, config: PrepareConfig, start: int, *, training: bool) -> Iterator[list[Piece] | str]:
    """The pieces of each pair in order, or what is wrong with it; several are decoded ahead, but not all."""

    def one(index: int) -> list[Piece] | str:
        try:
            return prepared(Piece(pairs.names[index], *pairs.load(index)), config, training=training)
        except DataError as error:
            return str(error)

    return in_order(one, range(start, len(pairs.names)), os.cpu_count() or 1)
