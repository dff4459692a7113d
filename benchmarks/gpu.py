"""What NVIDIA's driver says of the GPU that is measured, through `nvidia-smi`.

It is named by its UUID: `nvidia-smi` counts GPUs by their place on the bus, CUDA the fastest first, and
CUDA_VISIBLE_DEVICES is for CUDA alone.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
from typing import Literal, Self

from nafnet.runtime.backends import presence
from nafnet.system import nvidia

READINGS = {"clocks.sm": "GPU MHz", "temperature.gpu": "GPU C", "power.draw": "GPU W"}
EVERY = 0.5
"""Seconds from one look to the next while it works."""
From = Literal["process", "card"]


def gpu_uuid() -> str | None:
    """Of CUDA's first device, as nvidia-smi writes it; None without one, or where PyTorch has no CUDA."""
    if presence.no_cuda():
        return None
    import torch

    return f"GPU-{torch.cuda.get_device_properties(0).uuid}" if torch.cuda.is_available() else None


def query(fields: str, uuid: str | None) -> str | None:
    """Fields of a GPU, the first one where `uuid` is None, with commas between; None where they cannot be had."""
    lines = nvidia.smi(f"--id={uuid or 0}", f"--query-gpu={fields}")
    return lines[0] if lines else None


def readings(uuid: str | None) -> dict[str, float]:
    """Clock in MHz, temperature in degrees Celsius and power in watts, as far as they are told."""
    listed = query(",".join(READINGS), uuid)
    found: dict[str, float] = {}
    for name, text in zip(READINGS.values(), listed.split(", ") if listed else (), strict=False):
        with contextlib.suppress(ValueError):  # [N/A]
            found[name] = float(text)
    return found


def memory(uuid: str | None, before: float | None) -> tuple[float, From] | None:
    """MB that this process holds on GPUs, as the driver counts them.

    Where the driver does not know the process by its number, as in most containers, what the card's memory has grown
    by, which is this process's where nobody else begins or ends meanwhile.

    Args:
        before: see `card_memory`, of a moment before this process used the GPU.
    """
    own = [line.split(", ") for line in nvidia.smi("--query-compute-apps=pid,used_memory")]
    with contextlib.suppress(ValueError):  # [N/A], under Windows' own memory manager
        if held := [float(size) for pid, size in own if pid == str(os.getpid())]:
            return sum(held), "process"
    now = card_memory(uuid)
    return None if now is None or before is None else (now - before, "card")


def card_memory(uuid: str | None) -> float | None:
    """MB in use on the card, by whomever."""
    with contextlib.suppress(TypeError, ValueError):
        return float(query("memory.used", uuid))  # type: ignore[arg-type]  # None is a TypeError
    return None


class Sampler:
    """Looks at a GPU now and then, in a thread of its own, while the block lasts.

    Args:
        uuid: of the GPU.
        on: whether to look at all.
    """

    def __init__(self, uuid: str | None, *, on: bool) -> None:
        self._uuid, self._on = uuid, on
        self._samples: list[dict[str, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        if self._on:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._on:
            self._thread.join()

    def _look(self) -> None:
        while found := readings(self._uuid):
            self._samples.append(found)
            if self._over.wait(EVERY):
                return

    def summary(self) -> dict[str, float]:
        """The median of each reading, and the lowest clock and highest temperature; empty without a look."""
        found = {}
        for name in READINGS.values():
            values = [sample[name] for sample in self._samples if name in sample]
            if values:
                found[name] = statistics.median(values)
                found |= {"GPU MHz": {"lowest GPU MHz": min(values)}, "GPU C": {"highest GPU C": max(values)}}.get(
                    name, {}
                )
        return found
