"""The process that answers one question of the doctor, and may crash or hang: ``python -m ... QUESTION [ABOUT]``.

The last line that it prints is `MARK` and the answer as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nafnet.errors import MissingExtraError, NafnetError
from nafnet.runtime.backends import REGISTRY, Choice, lacks, make_backend
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.doctor.privacy import quoted
from nafnet.system import SYSTEM, nvidia
from nafnet.system.lifeline import end_with

MARK = "nafnet-doctor: "
"""Begins the line with the answer; libraries may print lines of theirs."""
LONGEST = 2.0
"""Seconds that a tile of the model's own size may take, by what the small one took; else the small one is timed."""
TIMED = 1.0
"""Seconds for which tiles are timed,"""
LEAST, MOST = 2, 5
"""but at least and at most so many."""


def backend(name: str) -> dict[str, Any]:
    """What a backend lacks; else how far its result for the kept picture is from the kept answer, and its speed."""
    if missing := lacks(name):
        return {"lacks": quoted(missing)}
    entry = REGISTRY[name]
    if entry.reads == "plan":
        importlib.import_module(entry.requires)
        return {"untried": f"runs plans: nafnet-export --format {name} makes one, which is checked when it is loaded"}
    try:
        return _tried(name)
    except NafnetError as error:
        return {"error": quoted(str(error))}
    except ModuleNotFoundError as error:
        return {"error": quoted(str(MissingExtraError.of(error, entry.extra)))}


def _tried(name: str) -> dict[str, Any]:
    # Imported here: what reads a model's file is an extra.
    from nafnet.onnxfile import inspect_onnx
    from nafnet.pretrained import bundled_model
    from nafnet.runtime.engine.load_check import compared
    from nafnet.runtime.engine.model_source import open_model

    started = time.perf_counter()
    choice = Choice(name=name, devices=(REGISTRY[name].default_device,), reason="self-test")
    with make_backend(choice, open_model(None, name), None) as loaded:
        seconds = time.perf_counter() - started
        # The checkpoint has the same weights, and no answer of its own.
        found = compared(loaded, inspect_onnx(bundled_model()))
        facts = {
            "description": quoted(loaded.description), "refused": found.refused, "psnr": found.psnr,
            "max_abs": found.max_abs, "seconds_to_load": round(seconds, 2),
        }  # fmt: skip
        return facts | (_speed(loaded) if found.refused is None else {})


def _speed(loaded: Backend) -> dict[str, Any]:
    """Megapixels a second of one tile after the other, of the model's own size where that is soon done."""
    spec = loaded.model.spec
    side = spec.tile if spec.fixed_shape else 3 * spec.multiple
    least = _least_seconds(loaded, side)
    if side < spec.tile and least * (spec.tile / side) ** 2 <= LONGEST:
        side = spec.tile
        least = _least_seconds(loaded, side)
    return {"tile": side, "megapixels_per_second": float(f"{side * side / 1e6 / least:.3g}")}


def _least_seconds(loaded: Backend, side: int) -> float:
    """Of a few tiles of [1,C,side,side], after a first one that is not timed."""
    values = np.random.default_rng(0).random((1, loaded.model.spec.channels, side, side), np.float32)
    loaded(values)
    times: list[float] = []
    while len(times) < LEAST or (len(times) < MOST and sum(times) < TIMED):
        started = time.perf_counter()
        loaded(values)
        times.append(time.perf_counter() - started)
    return min(times)


def devices() -> dict[str, Any]:
    """The graphics adapters by the system, and by NVIDIA's driver."""
    driver = nvidia.cuda_driver()
    return {
        "adapters": [
            {"name": quoted(each.name), "driver": quoted(each.driver), "memory_mib": None} for each in SYSTEM.adapters()
        ],
        "nvidia": [_card(line) for line in nvidia.smi("--query-gpu=name,driver_version,memory.total")],
        "cuda": f"{driver // 1000}.{driver % 1000 // 10}" if driver else None,
        "cuda_devices": nvidia.cuda_devices(),
    }


def _card(line: str) -> dict[str, Any]:
    name, driver, memory = (*line.split(", "), "", "")[:3]
    return {"name": quoted(name), "driver": quoted(driver), "memory_mib": int(memory) if memory.isdigit() else None}


def libvips() -> dict[str, Any]:
    """Its version, once it is loaded."""
    import pyvips

    return {"version": ".".join(str(pyvips.version(part)) for part in range(3))}


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {"backend": backend, "devices": devices, "libvips": libvips}


def main(question: str, *about: str) -> None:
    """Answer; what was raised is an answer, too."""
    end_with(SYSTEM.handed_socket())
    SYSTEM.quiet_crashes()
    try:
        facts = QUESTIONS[question](*about)
    except Exception as error:  # each library has its own family of errors
        facts = {"error": quoted(f"{type(error).__name__}: {error}")}
    print(f"\n{MARK}{json.dumps(facts)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
