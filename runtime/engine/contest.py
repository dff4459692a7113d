"""Whether a GPU that no gate ran on is faster here than the CPU: a tile of each is measured, once.

Of such devices little is known: a weak one, or one that a program plays, takes longer than a CPU. So `auto` takes none
on its word. What was measured is remembered in the cache for the model, the machine, its drivers and the libraries'
versions; so is that one refused, or ended the process.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from nafnet.errors import (
    BackendError,
    DeviceMemoryError,
    MissingExtraError,
    ModelError,
    NafnetError,
    UsageError,
)
from nafnet.kept_tile import kept_tile
from nafnet.runtime.backends import Choice, make_backend
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.load_check import check_backends
from nafnet.runtime.engine.measured import Measured, Trial, recall, remember
from nafnet.runtime.engine.model_source import open_model, tiling_of
from nafnet.steps import OnStep

ROUNDS = 3
Refused = dict[str, type[NafnetError]]
"""Of each backend that cannot be used: why, and the kind of error. Not the error: its frames would keep memory."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is to be run; see `Restorer.load`."""

    model: str | os.PathLike[str] | None
    tile: int | None
    overlap: int | None
    whole: bool
    threads: int | None
    say: Callable[[str], None]
    on_step: OnStep

    def opened(self, choice: Choice) -> tuple[Model, int, int]:
        """The model as a backend reads it, and the side and the overlap of its tiles."""
        opened = open_model(self.model, choice.name, say=self.say, on_step=self.on_step)
        return opened, *tiling_of(opened, self.tile, self.overlap, whole=self.whole)


def in_order(choices: Sequence[Choice], wanted: Wanted, refused: Refused) -> Iterator[Choice]:
    """The backends to try, one after the other, as `choices_for` found them; those that have to be measured are, as
    soon as it is their turn, and of them only the faster ones come.

    Args:
        refused: gets a line for each that cannot be measured.
    """
    waiting = list(choices)
    while waiting and not waiting[0].measured:
        yield waiting.pop(0)
    contenders = [choice for choice in waiting if choice.measured]
    if len(waiting) < 2:  # it is the only one
        yield from waiting
    else:
        others = [choice for choice in waiting if choice not in contenders]
        yield from _faster_first(contenders, others, wanted, refused)


def _faster_first(
    contenders: list[Choice], others: list[Choice], wanted: Wanted, refused: Refused
) -> Iterator[Choice]:  # fmt: skip
    """The contenders that beat the first of the others, the fastest first; then the others."""
    times: dict[str, Measured] = {}
    for other in others:  # what cannot be loaded says so when it is taken
        if found := _measured(other, wanted, None, {}):
            times[other.name] = found
            break
    limit = min((each.seconds for each in times.values()), default=None)
    for contender in contenders:
        if found := _measured(contender, wanted, limit, refused):
            times[contender.name] = found
    faster = [each for each in contenders if each.name in times and (limit is None or times[each.name].beats(limit))]
    for choice in (*sorted(faster, key=lambda each: times[each.name].seconds), *others):
        yield dataclasses.replace(choice, figures=_figures(choice.name, times))


def _measured(choice: Choice, wanted: Wanted, limit: float | None, refused: Refused) -> Measured | None:
    """What a backend takes for a tile, now or in an earlier run; None where it cannot be used."""
    model, side, _ = wanted.opened(choice)
    if (found := recall(model, choice, side, wanted.threads)) and found.decides(limit):
        return found
    trial = Trial(model, choice, side, wanted.threads)
    if reason := trial.refused:
        refused[reason] = BackendError
        return None
    wanted.say(f"measuring a tile of {side} on {choice.name}, once for this model and machine")
    try:
        with (
            trial.under_way(),
            make_backend(choice, model, wanted.threads) as backend,
            backend.translated("measuring"),
        ):
            check_backends(backend.parts)
            found = _timed(backend.parts[0], side, limit)
    except (BackendError, ModelError, MissingExtraError, UsageError) as error:
        mine = isinstance(error, MissingExtraError | UsageError)
        refused[str(error)] = BackendError if mine else type(error)
        if not mine and not isinstance(error, DeviceMemoryError):  # memory may be there the next time
            trial.remember(str(error))
        return None
    remember(found, model, choice, side, wanted.threads)
    return found


def _timed(backend: Backend, side: int, limit: float | None) -> Measured:
    """The least of a few tiles. A device that takes longer for a small one than the CPU does for a whole one is not
    given the whole one: on one that a program plays that takes minutes."""
    spec = backend.model.spec
    small = kept_tile(spec).shape[-1]
    for tried in dict.fromkeys((min(small, side), side) if limit is not None else (side,)):
        planes = np.random.default_rng(0).random((1, spec.channels, tried, tried), np.float32)
        backend(planes)  # to warm up
        least = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            backend(planes)
            least = min(least, time.perf_counter() - started)
        found = Measured(seconds=least, side=tried, whole=tried == side)
        if limit is not None and not found.whole and least >= limit:
            break
    return found


def _figures(name: str, times: dict[str, Measured]) -> str:
    """As "a tile of 256 takes 12.9 ms; on webgpu one of 48 takes 1,790 ms"; nothing of what was not measured."""
    if name not in times:
        return ""
    others = (
        f"on {other} {'one' if each.whole else f'one of {each.side}'} takes {each.milliseconds}"
        for other, each in times.items()
        if other != name
    )
    return "; ".join((f"a tile of {times[name].side} takes {times[name].milliseconds}", *others))
