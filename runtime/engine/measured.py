"""What a backend took for a tile of a model, kept from one run to the next."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.files import cache_folder, write_whole
from nafnet.runtime.backends import Choice
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.onnxruntime_builds import BUILDS
from nafnet.runtime.backends.provider_presence import PLUGINS, VULKAN_DRIVERS
from nafnet.system import SYSTEM, nvidia
from nafnet.system.processor import features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """The least time of a few."""

    seconds: float
    side: int
    """H and W of the tile, in pixels."""
    whole: bool
    """Whether it was the tile that was asked for, and no smaller one."""

    def beats(self, limit: float) -> bool:
        """Whether the tile that was asked for takes less than `limit` seconds."""
        return self.whole and self.seconds < limit

    def decides(self, limit: float | None) -> bool:
        """Whether it is enough to tell: a small tile is where it took as long as `limit`."""
        return self.whole or (limit is not None and self.seconds >= limit)

    @property
    def milliseconds(self) -> str:
        """In words, of three digits or more."""
        taken = 1000 * self.seconds
        return f"{taken:,.0f} ms" if taken >= 100 else f"{taken:.3g} ms"


def recall(model: Model, choice: Choice, side: int, threads: int | None) -> Measured | None:
    """What `remember` kept; None where there is none, or its file is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, UsageError):
        told = json.loads(_place(model, choice, side, threads).read_text(encoding="utf-8"))
        return Measured(seconds=float(told["seconds"]), side=int(told["side"]), whole=bool(told["whole"]))
    return None


def remember(found: Measured, model: Model, choice: Choice, side: int, threads: int | None) -> None:
    """Keep it, where anything can be kept."""
    with contextlib.suppress(OSError, UsageError):
        write_whole(_place(model, choice, side, threads), json.dumps(dataclasses.asdict(found)).encode())


class Trial:
    """The measuring of a device that may refuse, hang, or end the process: what became of it the last time.

    A driver that crashes takes this process with it. So that it does so once, and not at each run, a file stands while
    a device is tried; who finds one does not try.
    """

    def __init__(self, model: Model, choice: Choice, side: int, threads: int | None) -> None:
        self._name, self._place = choice.name, None
        with contextlib.suppress(OSError, UsageError):
            self._place = _place(model, choice, side, threads).with_suffix(".trial")

    @property
    def refused(self) -> str | None:
        """Why the device is not to be tried, in a line; None where nothing speaks against it."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if self._place is not None and self._place.is_file():
                return self._place.read_text(encoding="utf-8") or self._hung
        return None

    @property
    def _hung(self) -> str:
        return (
            f"{self._name}: a run ended while it was measured, or measures it now; it is not tried again: "
            f"--backend {self._name} does, or remove {self._place}"
        )

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """While this is open the device is tried; a process that ends in it, however, leaves the file."""
        self.remember("")
        try:
            yield
        except BaseException:  # Ctrl-C as well: it was alive to say so
            self.forget()
            raise
        self.forget()

    def remember(self, reason: str) -> None:
        """That it refused, where anything can be kept."""
        if self._place is not None:
            with contextlib.suppress(OSError):
                write_whole(self._place, reason.encode())

    def forget(self) -> None:
        """It was tried."""
        if self._place is not None:
            with contextlib.suppress(OSError):
                SYSTEM.remove(self._place)


def _place(model: Model, choice: Choice, side: int, threads: int | None) -> Path:
    key = (model.sha256, choice.name, choice.devices, side, threads, _libraries(), _machine())
    return cache_folder("measured") / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.json"


@functools.cache
def _libraries() -> tuple[tuple[str, str | None], ...]:
    """What runs models here, in which versions."""
    names = (*BUILDS, *PLUGINS, "openvino", "nafnet-toolchain")
    return tuple((name, nvidia.installed_version(name)) for name in names)


def _machine() -> tuple[object, ...]:
    """Processor, GPUs and drivers, and the variables by which a driver is named."""
    named = tuple(os.environ.get(name) for name in VULKAN_DRIVERS)
    return (socket.gethostname(), SYSTEM.processor(), features(), SYSTEM.cores(), *_graphics(), *named)


@functools.cache
def _graphics() -> tuple[object, ...]:
    return (SYSTEM.description, SYSTEM.release, SYSTEM.adapters(), nvidia.cuda_driver())
