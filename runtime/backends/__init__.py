"""The backends by name, imported only when one is asked for, and the choice among them.

To add one: write a module with a subclass of `Backend` here, and an entry in `registry.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path

from nafnet.errors import BackendError, MissingExtraError, NafnetError, UsageError
from nafnet.runtime.backends.base import Backend, as_ours
from nafnet.runtime.backends.model import Model, flavour_of, precision_of
from nafnet.runtime.backends.registry import REGISTRY, Entry
from nafnet.system import SYSTEM

__all__ = [
    "REGISTRY", "Choice", "Entry", "backend_class", "choices_for", "choose_for", "is_installed", "lacks",
    "make_backend", "states",
]  # fmt: skip
_DEVICE = re.compile(r"cpu|(?:cuda|gpu)(?::\d+)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """The backend of a run."""

    name: str
    devices: tuple[str, ...]
    """As cuda:0; several share the tiles."""
    reason: str
    """Why this one, in a few words."""
    measured: bool = False
    """Whether it is taken only where it is faster than the CPU on one of the model's tiles;"""
    figures: str = ""
    """where tiles were measured to choose it: what each took."""


def is_installed(name: str) -> bool:
    """Whether the backend's library can be imported here."""
    return importlib.util.find_spec(REGISTRY[name].requires) is not None


def lacks(name: str) -> str | None:
    """What a backend lacks to run here, in words, with the command that brings it where one does; None if nothing."""
    entry = REGISTRY[name]
    return entry.absent() if is_installed(name) else f"pip install 'nafnet-toolchain[{entry.extra}]'"


def states() -> Iterator[tuple[str, Entry, str | None]]:
    """Every backend, and what it lacks to run here."""
    for name, entry in REGISTRY.items():
        yield name, entry, lacks(name)


def choose_for(name: str, model: str | os.PathLike[str] | None, device: str | None) -> Choice:
    """The first of `choices_for`."""
    return choices_for(name, model, device)[0]


def choices_for(name: str, model: str | os.PathLike[str] | None, device: str | None) -> list[Choice]:
    """The backends to use for a model: the one named, or for "auto" all that can run it here, the fastest first.

    Args:
        name: of `REGISTRY`, or auto.
        model: the model file; None is the bundled denoiser.
        device: as --device; None leaves it to the backend.

    Raises:
        BackendError: no such backend, or it cannot run here.
        MissingExtraError: its library is not installed.
    """
    if name != "auto" and name not in REGISTRY:
        raise BackendError(f"--backend {name}: no such backend; expected auto, {', '.join(REGISTRY)}")
    path = Path(model) if model is not None else None
    wanted = _devices(device)
    if name != "auto":
        entry = REGISTRY[name]
        if not is_installed(name):
            raise MissingExtraError(entry.requires, entry.extra)
        if missing := entry.absent():
            raise BackendError(f"--backend {name}: {missing}")
        return [Choice(name=name, devices=_of_kind(name, wanted), reason="as asked")]
    found: list[Choice] = []
    passed_over: list[str] = []
    for candidate, entry in REGISTRY.items():
        if not _suits(candidate, path) or (wanted and _kind(wanted) != entry.device):
            continue
        missing = entry.absent() if is_installed(candidate) else f"{entry.requires} is not installed"
        if missing is None:
            reason = "the fastest that runs here" + (f"; {', '.join(passed_over)}" if passed_over else "")
            devices = _of_kind(candidate, wanted)
            found.append(Choice(name=candidate, devices=devices, reason=reason, measured=entry.measured))
        elif wanted or not entry.measured:  # whoever has no such GPU is not told of each that might drive one
            passed_over.append(f"{candidate}: {missing}")
    if not found:
        raise _none_suits(path, device, wanted, passed_over)
    return found


def _none_suits(
    path: Path | None, device: str | None, wanted: tuple[str, ...], passed_over: list[str]
) -> NafnetError:  # fmt: skip
    """The error where `auto` finds nothing."""
    what = path.name if path else "the model"
    if passed_over and not wanted and (path is None or path.suffix != ".plan"):
        return MissingExtraError(f"no backend for {what} ({'; '.join(passed_over)}):", "cpu")
    on = f"--device {device}: " if device else ""
    named = [name for name, entry in REGISTRY.items() if wanted and entry.device == _kind(wanted) and not entry.auto]
    hint = f"; by name there are {', '.join(named)}, see --backend" if named else ""
    return BackendError(f"{on}`auto` finds no backend for {what} ({'; '.join(passed_over) or 'none is for it'}){hint}")


def make_backend(choice: Choice, model: Model, threads: int | None) -> Backend:
    """Load the model with a chosen backend.

    Raises:
        NafnetError: the library, or the model with it, cannot be loaded; nothing stays open.
    """
    try:
        kind = backend_class(choice.name)
    except Exception as error:  # its library is there and cannot be imported, each in its own way
        remedy = SYSTEM.loading_remedy(error)
        raise as_ours(error, BackendError, f"{choice.name}: importing its library", remedy) from error
    with contextlib.ExitStack() as opened:
        made = [opened.enter_context(kind(model, threads, device)) for device in choice.devices]
        if len(made) == 1:
            opened.pop_all()
            return made[0]
        from nafnet.runtime.backends.lanes import SeveralDevices

        several = SeveralDevices(made)
        opened.pop_all()
        return several


def backend_class(name: str) -> type[Backend]:
    """The class behind a name of `REGISTRY`."""
    module, _, attribute = REGISTRY[name].target.partition(":")
    found: type[Backend] = getattr(importlib.import_module(module), attribute)
    return found


def _suits(name: str, path: Path | None) -> bool:
    """Whether `auto` may take it for this model."""
    entry = REGISTRY[name]
    if path is not None and path.suffix == ".plan":
        return entry.reads == "plan" and name == flavour_of(path)
    if entry.auto:
        return entry.reads == "onnx"
    # Half where fp32 was verified would rewrite what was asked for; a bf16 model was verified in it.
    if name != "openvino-bf16" or path is None or path.suffix != ".onnx" or not path.is_file():
        return False
    return precision_of(path) == "bf16"


def _devices(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    kinds = {name.partition(":")[0] for name in names}
    numbered = {name if ":" in name or name == "cpu" else f"{name}:0" for name in names}
    if len(kinds) > 1 or len(numbered) < len(names) or not all(_DEVICE.fullmatch(name) for name in names):
        raise UsageError(f"--device {text}: expected cpu, cuda, cuda:1, gpu, or several of a kind as cuda:0,cuda:1")
    return names


def _kind(devices: tuple[str, ...]) -> str:
    return devices[0].partition(":")[0]


def _of_kind(name: str, devices: tuple[str, ...]) -> tuple[str, ...]:
    """The devices a backend is to use: those asked for, or its own."""
    own = REGISTRY[name].device
    if devices and _kind(devices) != own:
        raise UsageError(f"--device {','.join(devices)}: --backend {name} runs on {own}")
    if len(devices) > 1 and own == "cpu":
        raise UsageError(f"--device {','.join(devices)}: there is one CPU; use --threads or --shard")
    return devices or (REGISTRY[name].default_device,)
