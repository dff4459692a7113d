"""Batches of floats through a backend, the way that the product takes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.pending import Pending
from nafnet.wire import Batch, from_wire


def streamed(backend: Backend, batches: Iterable[Batch] | NDArray[np.float32]) -> list[Batch]:
    """What becomes of float32[N,C,H,W], each; copied, for a result stands only until the next."""
    wire = backend.model.spec.io
    pending = (Pending.of(batch, wire) for batch in batches)
    return [np.array(from_wire(restored, wire)) for restored in backend.stream_pending(pending)]
