"""Whether each backend runs here and is right."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from nafnet.runtime.backends import REGISTRY, is_installed, lacks
from nafnet.runtime.doctor.apart import Answer, ask

State = Literal["right", "wrong", "failed", "crashed", "hung", "absent", "untried"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examined:
    """What became of one backend."""

    name: str
    device: str
    """The kind it runs on."""
    reads: str
    """The kind of model it runs."""
    extra: str
    """What installs it."""
    state: State
    """`wrong`: it gives something else than PyTorch. `untried`: what it lacks is a model to try it with, not a library
    or a device."""
    detail: str | None = None
    """Why it is not right, with the command that helps where one does."""
    description: str | None = None
    """Library, version and device."""
    psnr: float | None = None
    """In dB, against the answer of PyTorch that the bundled model carries."""
    max_abs: float | None = None
    """The largest difference, in units of [0, 1]."""
    seconds_to_load: float | None = None
    tile: int | None = None
    """Side of the tiles that were timed, in pixels."""
    megapixels_per_second: float | None = None


def examined(name: str, *, limit: float) -> Examined:
    """Try one backend, in a process of its own.

    Args:
        name: of `REGISTRY`.
        limit: seconds that it may take.
    """
    if not is_installed(name):  # then nothing is loaded to find out
        return _of(name, "absent", lacks(name))
    return _judged(name, ask("backend", name, limit=limit))


def _judged(name: str, answer: Answer) -> Examined:
    if answer.ending == "hung":
        return _of(name, "hung", answer.said)
    if answer.ending == "crashed":
        return _of(name, "crashed", answer.said)
    facts = dict(answer.facts)
    outcomes: tuple[tuple[str, State], ...] = (("lacks", "absent"), ("untried", "untried"), ("error", "failed"))
    for key, state in outcomes:
        if key in facts:
            return _of(name, state, facts[key])
    refused = facts.pop("refused")
    if refused is None and answer.said:
        return _of(name, "right", f"and at its end {answer.said}", **facts)
    return _of(name, "right" if refused is None else "wrong", refused, **facts)


def _of(name: str, state: State, detail: str | None, **facts: Any) -> Examined:
    entry = REGISTRY[name]
    return Examined(
        name=name, device=entry.device, reads=entry.reads, extra=entry.extra, state=state, detail=detail, **facts
    )
