"""How much memory an image takes on its way from file to file, known from its header before the work starts."""

from __future__ import annotations

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.header import Header
from nafnet.images.writer import MEMORY_LIMIT
from nafnet.runtime.engine.memory import inference_bytes
from nafnet.runtime.engine.restorer import Restorer
from nafnet.system import SYSTEM

ALWAYS_TRIED = 2**30
"""Bytes of rows: those of a picture that is 80,000 pixels wide, in tiles of 256."""
QUEUE_BYTES = 64 * 2**20
"""Of decoded and of restored rows that wait, each."""


def check_fits(restorer: Restorer, header: Header) -> None:
    """Refuse an image that would take the whole run down, before it is begun.

    Raises:
        ImageError: it takes more memory than there is.
    """
    needed, available = _rows_bytes(restorer, header), SYSTEM.available_memory()
    # What ordinary pictures take is never refused: it can be had by swapping, and mostly there is more than is told.
    if available is not None and needed > max(available, ALWAYS_TRIED):
        raise ImageError(
            f"{header.width}x{header.height} pixels take about {needed / 2**20:,.0f} MB of memory, and "
            f"{available / 2**20:,.0f} MB are available; a smaller --tile takes less"
        )


def file_bytes(restorer: Restorer, header: Header, results: int = 1) -> int:
    """What one image takes from file to so many files, the model's activations and the queues included."""
    height, width = restorer.plan(header.height, header.width).tile_shape
    written = results * min(header.row_bytes * header.rows, MEMORY_LIMIT)
    activations = inference_bytes(restorer.spec, height, width) * restorer.batch
    return _rows_bytes(restorer, header) + written + activations + 2 * QUEUE_BYTES


def _rows_bytes(restorer: Restorer, header: Header) -> int:
    """Of the rows of a tile's height, decoded and as strips of the model's: they are as wide as the image."""
    height, _ = restorer.plan(header.height, header.width).tile_shape
    return height * (2 * header.row_bytes + 4 * header.width * header.channels * np.dtype(np.float32).itemsize)
