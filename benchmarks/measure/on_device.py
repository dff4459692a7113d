"""A row of a GPU, told apart: what the device computes, what the copies take, and many batches on their way at once."""

from __future__ import annotations

import itertools
import time
from typing import Protocol, runtime_checkable

import numpy as np

from nafnet.benchmarks.results_file import DeviceSpeed, RowResult
from nafnet.errors import NafnetError
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.device_time import DeviceTime
from nafnet.runtime.backends.pending import Pending
from nafnet.wire import Batch, to_wire

ROUNDS = 20
STREAMED = 24
"""Batches in flight one after the other: enough for the first and the last, which nothing hides behind, to weigh
little."""
REPEATS = 3


@runtime_checkable
class Timed(Protocol):
    """What a backend has that can tell the device's time: `TimedBackend`, and the forms of PyTorch."""

    def device_time(self, batch: Batch, rounds: int) -> DeviceTime: ...


def fill_device(row: RowResult, backend: Backend, tile: Batch) -> None:
    """Measure a row on a GPU once more, as far as its backend can be; a failure is the row's, and ends nothing."""
    try:
        if isinstance(backend, Timed):
            found = backend.device_time(tile, ROUNDS)
            row["device"] = DeviceSpeed(compute=found.compute, copies=found.copies, clock=found.clock)
        streamed = min(_streamed(backend, tile) for _ in range(REPEATS))
    except NafnetError as error:
        row["device_failed"] = str(error)
        return
    row["streamed_seconds"] = streamed
    count, _, height, width = tile.shape
    row["streamed_megapixels_per_second"] = count * height * width / 1e6 / streamed


def _streamed(backend: Backend, tile: Batch) -> float:
    """Seconds of a batch, of many."""
    given = to_wire(tile, backend.model.spec.io)
    pending = Pending(tile.shape, lambda out: np.copyto(out, given))
    started = time.perf_counter()
    for _ in backend.stream_pending(itertools.repeat(pending, STREAMED)):
        pass
    return (time.perf_counter() - started) / STREAMED
