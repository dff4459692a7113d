"""The backends by name, imported only when one is asked for.

To add one: write a module with a subclass of `Backend` here, and a line in `REGISTRY`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util

from nafnet.runtime.backends.base import Backend

from nafnet.errors import BackendError, MissingExtraError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a backend is and what it needs."""

    target: str
    """module:class."""
    requires: str
    """The import name of its library."""
    extra: str
    """The extra that installs it."""
    reads: str
    """What it runs: an ONNX file or a checkpoint."""


# In the order `auto` tries them: fastest first, as nafnet-bench measures on a CPU.
REGISTRY: dict[str, Entry] = {
    "openvino": Entry(
        target="nafnet.runtime.backends.openvino_cpu:OpenVinoBackend", requires="openvino", extra="cpu", reads="onnx"
    ),
    "onnxruntime": Entry(
        target="nafnet.runtime.backends.onnxruntime_cpu:OnnxRuntimeBackend",
        requires="onnxruntime",
        extra="cpu",
        reads="onnx",
    ),
    "torch": Entry(
        target="nafnet.runtime.backends.torch_eager:TorchBackend", requires="torch", extra="export", reads="checkpoint"
    ),
}


def is_installed(name: str) -> bool:
    """Whether the backend's library can be imported here."""
    return importlib.util.find_spec(REGISTRY[name].requires) is not None


def choose(name: str) -> str:
    """The backend to use: `name`, or for "auto" the first in `REGISTRY` that is installed and runs ONNX files.

    Raises:
        BackendError: no such backend.
        MissingExtraError: its library is not installed.
    """
    if name == "auto":
        for candidate, entry in REGISTRY.items():
            if entry.reads == "onnx" and is_installed(candidate):
                return candidate
        raise MissingExtraError("no inference library", "cpu")
    if name not in REGISTRY:
        raise BackendError(f"--backend {name}: no such backend; expected auto, {', '.join(REGISTRY)}")
    if not is_installed(name):
        raise MissingExtraError(REGISTRY[name].requires, REGISTRY[name].extra)
    return name


def backend_class(name: str) -> type[Backend]:
    """The class behind a name that `choose` returned."""
    module, _, attribute = REGISTRY[name].target.partition(":")
    found: type[Backend] = getattr(importlib.import_module(module), attribute)
    return found
