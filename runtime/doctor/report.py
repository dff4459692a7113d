"""What is found out of a machine, as values."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import sys
from typing import Any

import psutil

from nafnet.files import CACHE_VARIABLE
from nafnet.runtime.backends import REGISTRY
from nafnet.runtime.doctor.apart import ask
from nafnet.runtime.doctor.backends import Examined, examined
from nafnet.runtime.doctor.libraries import PROJECT, libraries
from nafnet.runtime.doctor.places import Place, places
from nafnet.runtime.doctor.privacy import discreet
from nafnet.steps import OnStep, unwatched
from nafnet.system import SYSTEM
from nafnet.system.processor import LIMITS, instructions

FORMAT_VERSION = 1
SECONDS = 120.0
"""That one question may take. A library may compile for a device that it meets for the first time."""
VARIABLES = (CACHE_VARIABLE, *LIMITS, "CUDA_VISIBLE_DEVICES", "TMPDIR", "TEMP", "TMP")
"""Of the environment, which we or `tempfile` read."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What `nafnet-run --doctor --json` prints."""

    format_version: int = FORMAT_VERSION
    version: str
    """Of this project."""
    system: dict[str, str]
    processor: dict[str, Any]
    memory: dict[str, Any]
    """In bytes."""
    devices: dict[str, Any]
    libvips: dict[str, Any]
    backends: tuple[Examined, ...]
    libraries: dict[str, dict[str, str | None]]
    places: tuple[Place, ...]
    variables: dict[str, str]

    @property
    def right(self) -> tuple[Examined, ...]:
        """The backends that run here, and give what PyTorch gave."""
        return tuple(each for each in self.backends if each.state == "right")


def examine(*, limit: float = SECONDS, on_step: OnStep = unwatched) -> Report:
    """Look at everything.

    Args:
        limit: seconds that each question to a library may take.
        on_step: told what is being looked at.
    """
    on_step("looking at the devices", 0, 0)
    devices = _told("devices", limit)
    on_step("loading libvips", 0, 0)
    libvips = _told("libvips", limit)
    found = []
    for name in REGISTRY:
        on_step(f"trying {name}", 0, 0)  # how long each takes, nobody knows
        found.append(examined(name, limit=limit))
    return Report(
        version=importlib.metadata.version(PROJECT),
        system={"name": SYSTEM.description, "release": SYSTEM.release, "python": _python()},
        processor={
            "name": SYSTEM.processor(), "cores": os.cpu_count(), "cores_for_us": SYSTEM.cores(),
            "instructions": list(instructions()),
        },
        memory={
            "machine": psutil.virtual_memory().total, "available": SYSTEM.available_memory(),
            "limits": SYSTEM.memory_limits(),
        },
        devices=devices, libvips=libvips, backends=tuple(found), libraries=libraries(), places=tuple(places()),
        variables={name: discreet(os.environ[name]) for name in VARIABLES if os.environ.get(name)},
    )  # fmt: skip


def _told(question: str, limit: float) -> dict[str, Any]:
    """The answer, or an `error` in its place."""
    answer = ask(question, limit=limit)
    return answer.facts or {"error": answer.said}


def _python() -> str:
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
