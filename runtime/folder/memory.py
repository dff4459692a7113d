"""How much memory an image takes on its way from file to file, known from its header before the work starts."""

from __future__ import annotations

import numpy as np

from nafnet.images.formats import Header
from nafnet.images.writer import MEMORY_LIMIT
from nafnet.runtime.engine.memory import inference_bytes
from nafnet.runtime.engine.restorer import Restorer

QUEUE_BYTES = 64 * 2**20
"""Of decoded and of restored rows that wait, each."""


def file_bytes(restorer: Restorer, header: Header) -> int:
    """What one image takes from file to file, the model's activations and the queues included."""
    height, width = restorer.plan(header.height, header.width).tile_shape
    row_planes = header.width * header.channels * np.dtype(np.float32).itemsize
    decoded, strips = 2 * height * header.row_bytes, 4 * height * row_planes
    written = min(header.row_bytes * header.height, MEMORY_LIMIT)
    activations = inference_bytes(restorer.spec, height, width) * restorer.batch
    return decoded + strips + written + activations + 2 * QUEUE_BYTES
