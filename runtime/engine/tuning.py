"""Which tile and batch are fastest, measured once per model, backend and machine.

Tiles go up to 1.5 times the training patch: until there SCA's statistics are those of local pooling, exactly, and
beyond it a larger tile departs from what the model was trained with.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import BackendError, UsageError
from nafnet.files import cache_folder, write_whole
from nafnet.runtime.engine.restorer import Restorer
from nafnet.system import SYSTEM

TILES = (128, 192, 256, 320, 384, 512, 768, 1024)
BATCHES = (1, 2, 4, 8, 16, 32)
ROUNDS = 3


def tune(restorer: Restorer, *, fixed_tile: int | None, fixed_overlap: int | None, fixed_batch: int | None) -> None:
    """Set the restorer's tile and batch to the fastest found, now or by an earlier call; what the user fixed stays."""
    spec = restorer.spec
    largest = max(spec.train_patch * 3 // 2, spec.multiple)
    tiles = [side for side in TILES if side % spec.multiple == 0 and side <= largest] or [restorer.tile]
    if fixed_overlap is not None:
        tiles = [side for side in tiles if fixed_overlap < side] or [restorer.tile]
    if fixed_tile or spec.fixed_shape:
        tiles = [restorer.tile]
    batches = [fixed_batch] if fixed_batch else list(BATCHES if restorer.backend.default_batch > 1 else BATCHES[:2])
    remembered = None
    with contextlib.suppress(UsageError):  # it is measured each time where nothing can be kept
        remembered = cache_folder("tune") / f"{_key(restorer, tiles, batches)}.json"
    best = _remembered(remembered) if remembered else None
    if best is None:
        restorer.say(f"measuring tiles of {', '.join(map(str, tiles))}, once for this model and machine")
        best = _measure(restorer, tiles, batches)
        if remembered:
            write_whole(remembered, json.dumps(best).encode())
    overlap = min(restorer.overlap, best["tile"] // 4) if fixed_overlap is None else fixed_overlap
    restorer.set_tiling(tile=best["tile"], overlap=overlap, batch=best["batch"])
    restorer.say(f"tuned: tiles of {best['tile']}, batches of {best['batch']}: {best['rate']:.2f} MP/s")


def _remembered(path: Path) -> dict[str, Any] | None:
    """What an earlier call found; None where there was none, or its file is damaged."""
    try:
        best = json.loads(path.read_text(encoding="utf-8"))
        return {"tile": int(best["tile"]), "batch": int(best["batch"]), "rate": float(best["rate"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure(restorer: Restorer, tiles: list[int], batches: list[int]) -> dict[str, Any]:
    """The fastest, by net pixels: what a tile shares with its neighbours counts once. Rounds alternate."""
    generator = np.random.default_rng(0)
    runs: dict[tuple[int, int], float] = {}
    candidates = [(tile, batch) for tile in tiles for batch in batches]
    for _ in range(ROUNDS):
        for tile, batch in list(candidates):
            images = generator.random((batch, restorer.spec.channels, tile, tile), np.float32)
            try:
                if (tile, batch) not in runs:
                    restorer.backend(images)  # to warm up
                started = time.perf_counter()
                restorer.backend(images)
            except BackendError:  # too large for this device
                candidates.remove((tile, batch))
                continue
            took = time.perf_counter() - started
            runs[tile, batch] = min(runs.get((tile, batch), took), took)
    if not runs:
        raise BackendError("--tune: no tile could be run; see --tile and --batch")
    rates = {
        (tile, batch): batch * (tile - min(restorer.overlap, tile // 4)) ** 2 / seconds / 1e6
        for (tile, batch), seconds in runs.items()
    }
    tile, batch = max(rates, key=lambda key: rates[key])
    return {"tile": tile, "batch": batch, "rate": rates[tile, batch]}


def _key(restorer: Restorer, tiles: list[int], batches: list[int]) -> str:
    backend = restorer.backend
    told = [
        backend.model.sha256, backend.description, backend.threads, restorer.overlap, tiles, batches,
        socket.gethostname(), SYSTEM.processor(), os.cpu_count(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
