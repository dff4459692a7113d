"""Rows that wait on the disk because they are many: raw files beside the result, read back in order.

They are several files, and not one, since libvips maps a raw file as a whole: joined one below the other and read from
the top, each is let go when it has been read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nafnet.files import open_bytes, temporary_beside
from nafnet.images.header import Header
from nafnet.images.vips import pyvips
from nafnet.system import SYSTEM

PART_BYTES = 32 * 2**20
MOST_PARTS = 128
"""Each is an open file while the image is encoded."""


class Spill:
    """The rows of one image.

    Args:
        path: of the result; the parts lie beside it.
        header: of the rows.
        tag: goes into the parts' names.
        mode: permissions of the parts.
    """

    def __init__(self, path: Path, header: Header, tag: str, mode: int = 0o666) -> None:
        self._header, self._mode = header, mode
        size = max(PART_BYTES, header.row_bytes * header.rows // MOST_PARTS)
        self._rows = max(size // header.row_bytes, 1)  # of a part
        count = -(-header.rows // self._rows)
        self._parts = [temporary_beside(path, tag, ".raw") for _ in range(count)]
        self._written = 0

    def write(self, rows: NDArray[np.generic]) -> None:
        """Append rows, [n,W,C]; raises OSError where the disk refuses."""
        while len(rows):
            index, inside = divmod(self._written, self._rows)
            taken = rows[: self._rows - inside]
            descriptor = open_bytes(self._parts[index], os.O_WRONLY | os.O_APPEND | os.O_CREAT, self._mode)
            with os.fdopen(descriptor, "ab") as file:
                file.write(np.ascontiguousarray(taken).data)
            self._written += len(taken)
            rows = rows[len(taken) :]

    def bands(self) -> Iterator[NDArray[np.generic]]:
        """The rows again, a part at a time."""
        for part in self._parts:
            yield np.fromfile(part, self._header.pixel_type).reshape(-1, self._header.width, self._header.bands)

    def image(self, kind: str, colour: str) -> pyvips.Image:
        """The rows as libvips sees them, to be read once from the top."""
        header = self._header
        heights = [self._rows] * len(self._parts)
        heights[-1] = header.rows - self._rows * (len(self._parts) - 1)
        images = [
            pyvips.Image.rawload(
                str(part), header.width, height, header.bands, format=kind, interpretation=colour, access="sequential"
            )
            for part, height in zip(self._parts, heights, strict=True)
        ]
        # Parts are laid in cells as high as the highest, so below the last one there is room that is cut away.
        return pyvips.Image.arrayjoin(images, across=1).crop(0, 0, header.width, header.rows)

    def remove(self) -> None:
        """Delete the parts."""
        for part in self._parts:
            SYSTEM.remove(part)
