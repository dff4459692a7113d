"""Prepared pairs in one file on the disk, read as a memory map without copying.

A store is a folder: pixels.bin holds uint8[H,W,3], degraded and clean in turn, and index.jsonl a line for each pair of
the data set: its pieces as [name, offset, H, W], or why it was left out. The index is called index.partial while the
store is written; a store that was interrupted goes on after the last line of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from nafnet.errors import DataError
from nafnet.files import exclusive
from nafnet.system import SYSTEM
from nafnet.train.data.ahead import in_order
from nafnet.train.data.pairs import Image, Pairs
from nafnet.train.data.prepare import Piece, prepared
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.words import counted

_INDEX, _PARTIAL, _PIXELS = "index.jsonl", "index.partial", "pixels.bin"
_FLUSH_EVERY = 16  # pairs; the index never names pixels that are not on the disk


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
        self._places = np.array([item[1:] for item in items], np.int64).reshape(-1, 3)
        self.size = max((offset + 2 * height * width * 3 for offset, height, width in self._places.tolist()), default=0)
        """Bytes of pixels."""
        self._pixels: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # a worker process maps the file itself

    def shape(self, index: int) -> tuple[int, int]:
        """(H, W) of a piece."""
        return int(self._places[index, 1]), int(self._places[index, 2])

    def pair(self, index: int) -> tuple[Image, Image]:
        """(degraded, clean) of a piece, uint8[H,W,3], read-only views of the file."""
        if self._pixels is None:
            self._pixels = np.memmap(self.folder / _PIXELS, np.uint8, mode="r")
        offset, height, width = map(int, self._places[index])
        both = self._pixels[offset : offset + 2 * height * width * 3].reshape(2, height, width, 3)
        return both[0], both[1]


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
        OSError: the disk takes no more; what was written stays, and is gone on from.
    """
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
    done, end = _recovered(folder)
    task = progress.add_task("preparing pairs", total=len(pairs.names), completed=done)
    with (folder / _PIXELS).open("ab") as pixels, (folder / _PARTIAL).open("ab") as index:
        pixels.truncate(end)
        waiting: list[dict[str, Any]] = []
        for row in _rows(pairs, config, done, training=training):
            if isinstance(row, str):
                if not skip_bad:
                    _flush(pixels, index, waiting)
                    raise DataError(f"{row}; mend it, or go on without it and its like with --skip-bad")
                waiting.append({"skipped": row})
            else:
                entries = []
                for piece in row:
                    entries.append([piece.name, end, *piece.clean.shape[:2]])
                    for side in (piece.degraded, piece.clean):
                        end += pixels.write(np.ascontiguousarray(side).data)
                waiting.append({"pieces": entries})
            if len(waiting) == _FLUSH_EVERY:
                _flush(pixels, index, waiting)
            progress.advance(task)
        _flush(pixels, index, waiting)
    (folder / _PARTIAL).replace(folder / _INDEX)
    progress.remove_task(task)


def _flush(pixels: BinaryIO, index: BinaryIO, waiting: list[dict[str, Any]]) -> None:
    for file, data in ((pixels, b""), (index, "".join(f"{json.dumps(row)}\n" for row in waiting).encode())):
        file.write(data)
        file.flush()
        SYSTEM.sync(file)
    waiting.clear()


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
        end = pieces[-1][1] + 2 * pieces[-1][2] * pieces[-1][3] * 3 if pieces else 0
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
