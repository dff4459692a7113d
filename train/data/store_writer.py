"""The two files of a store of pairs while they are written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nafnet.system import SYSTEM
from nafnet.train.data.disk import writing
from nafnet.train.data.prepare import Piece

_FLUSH_EVERY = 16  # pairs; the index never names pixels that are not on the disk


class StoreWriter:
    """Writes rows of pieces; a row is kept back until its pixels are on the disk.

    Args:
        pixels: the file of pixels, open at its end,
        index: and that of rows.
        end: of the pixels, in bytes.

    Raises:
        OutputError: the disk refuses; the message names the file.
    """

    def __init__(self, pixels: BinaryIO, index: BinaryIO, end: int) -> None:
        self.pixels, self.index, self.end = pixels, index, end
        self._waiting: list[dict[str, Any]] = []

    def add(self, row: list[Piece] | str) -> None:
        """The pieces of a pair, or why it was left out."""
        if isinstance(row, str):
            self._waiting.append({"skipped": row})
        else:
            entries = []
            for piece in row:
                height, width = piece.clean.shape[:2]
                entries.append([piece.name, self.end, height, width, 8 * piece.clean.itemsize])
                with writing(Path(self.pixels.name)):
                    for side in (piece.degraded, piece.clean):
                        self.end += self.pixels.write(np.ascontiguousarray(side).data)
            self._waiting.append({"pieces": entries})
        if len(self._waiting) == _FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Have all of it on the disk."""
        lines = "".join(f"{json.dumps(row)}\n" for row in self._waiting).encode()
        for file, data in ((self.pixels, b""), (self.index, lines)):
            with writing(Path(file.name)):
                file.write(data)
                file.flush()
                SYSTEM.sync(file)
        self._waiting.clear()

    def close(self) -> None:
        """What is not on the disk yet is lost, and made again by whoever goes on."""
        for file in (self.pixels, self.index):
            with contextlib.suppress(OSError):  # of a full disk, which was told by the write before
                file.close()
