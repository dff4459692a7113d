"""A backend in a process of its own: how long from nothing to the first tile, and how much memory.

``python -m nafnet.benchmarks.measure.cold_start`` reads one request in JSON from standard input and prints one answer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from nafnet.benchmarks import gpu
from nafnet.errors import BackendError
from nafnet.files import CACHE_VARIABLE
from nafnet.interpreter import module_command
from nafnet.system import SYSTEM

TIMEOUT = 900.0
"""Seconds; a compiler may need minutes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColdStart:
    """One backend's first tile: nothing compiled is kept from before; files are in the system's cache."""

    total: float
    """Seconds from the start of the process to the first tile."""
    loading: float
    """Of them, importing the library and loading the model."""
    first_tile: float
    """Of them, the first tile, which some libraries compile for."""
    host_mb: float
    """The process's peak of resident memory, a second tile included."""
    device_mb: float | None
    """Of the GPU's memory, once the first tile is done; None on a CPU."""
    device_mb_from: str | None
    """process or card, see `gpu.memory`."""


def cold_start(candidate: dict[str, Any], threads: int, shape: tuple[int, ...]) -> ColdStart:
    """Measure in a new process.

    Args:
        candidate: `Candidate.to_dict`.
        shape: of the tile, [N,C,H,W].

    Raises:
        BackendError: the process failed; the message is its last line.
    """
    on_gpu = candidate["device"] != "cpu"
    request = {
        "candidate": candidate, "threads": threads, "shape": list(shape), "on_gpu": on_gpu,
        "uuid": gpu.gpu_uuid() if on_gpu else None,
    }  # fmt: skip
    started = time.time()
    try:
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(
                module_command("nafnet.benchmarks.measure.cold_start"),
                input=json.dumps(request), capture_output=True, text=True, check=False, timeout=TIMEOUT,
                env={**os.environ, CACHE_VARIABLE: empty},
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"no first tile within {TIMEOUT:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BackendError(lines[-1])
    answer = json.loads(done.stdout.splitlines()[-1])
    total = answer.pop("ended") - started
    return ColdStart(total=total, **answer)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the process measures of itself."""
    started = time.time()
    from nafnet.benchmarks.rows.candidate import Candidate

    candidate = Candidate.from_dict(request["candidate"])
    before = gpu.card_memory(request["uuid"]) if request["on_gpu"] else None
    tile = np.random.default_rng(0).random(request["shape"], np.float32)
    with candidate.open(request["threads"]) as backend:
        loaded = time.time()
        backend(tile)
        ended = time.time()
        taken = gpu.memory(request["uuid"], before) if request["on_gpu"] else None
        backend(tile)
    return {
        "ended": ended, "loading": loaded - started, "first_tile": ended - loaded,
        "host_mb": SYSTEM.peak_resident() / 2**20,
        "device_mb": taken and taken[0], "device_mb_from": taken and taken[1],
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
