"""A machine with a GPU behind one of ONNX Runtime's providers, for a test."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nafnet.runtime.backends import REGISTRY, backend_class, onnxruntime_providers
from tests.runtime.backends.provider_onnxruntime import Library, Machine, Plugin

Install = Callable[..., Machine]


def installing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """What makes this a machine on which a backend lacks nothing; no rule may have been broken in the end."""
    machines: list[Machine] = []

    def make(name: str, *, plugin: bool = True) -> Machine:
        kind: Any = backend_class(name)
        machine = Machine(kind.provider)
        machines.append(machine)
        library: Any = Library(machine)
        monkeypatch.setitem(sys.modules, "onnxruntime", library)
        monkeypatch.setattr(onnxruntime_providers, "onnxruntime", library)
        onnxruntime_providers.plugin_devices.cache_clear()
        machine.built_in = not (kind.plugin and plugin)
        if not machine.built_in:
            played: Any = Plugin(machine.provider, kind.plugin)
            monkeypatch.setitem(sys.modules, kind.plugin, played)
        for other, entry in list(REGISTRY.items()):
            if other == name or entry.device != "cpu":  # whatever GPU the tests' own machine has is not on this one
                missing = None if other == name else "not on this machine"
                monkeypatch.setitem(REGISTRY, other, dataclasses.replace(entry, absent=lambda missing=missing: missing))
        return machine

    yield make
    onnxruntime_providers.plugin_devices.cache_clear()
    assert [rule for machine in machines for rule in machine.broken] == []
