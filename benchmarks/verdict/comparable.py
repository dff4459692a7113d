"""Which rounds of two measurements can be compared: those during which the machine was in the same state.

A virtual machine has states that last for seconds or for many minutes, such as two cores that share a cache and two
that do not. They slow each backend by a factor of its own (on one machine by 1.2 to 1.5, a matrix product not at all),
which no factor of the whole machine takes off. But they show in how long a copy takes: on that machine 3.6 or 6 ms. So
a round's state is its copy's time, a median over its neighbours; rounds in whose neighbourhood the copies disagree,
where the state changed or something else ran, are left out; and minima are compared over the rounds whose state both
measurements have seen. So a measurement wants some tens of rounds. The copy is made on the device of the reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nafnet.benchmarks.timing import Rounds

COPY = "copy"
"""The yardstick that tells the state."""
NEIGHBOURS = 2
"""Rounds to each side that are looked at for the state of one."""
CALM = 1.25
"""The most by which the copies of a calm neighbourhood may differ, longest over shortest."""
ALIKE = 1.1
"""The most by which the copies of rounds in the same state may differ."""
FEWEST = 5
"""Rounds below which a minimum is none, in either measurement, in the states of both."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A measurement with the state of each of its rounds."""

    rounds: Rounds
    state: NDArray[np.float64]
    """Seconds of a copy about that time; NaN where they disagree."""


def measured(rounds: Rounds) -> Measured:
    """Find the state of each round.

    Raises:
        KeyError: there is no copy among them.
    """
    copies = np.asarray(rounds[COPY], np.float64)
    state = np.full(len(copies), np.nan)
    for index in range(len(copies)):
        near = copies[max(index - NEIGHBOURS, 0) : index + NEIGHBOURS + 1]
        if near.max() <= CALM * near.min():
            state[index] = np.median(near)
    return Measured(rounds=rounds, state=state)


def minima_alike(earlier: Sequence[Measured], now: Measured) -> Mapping[str, tuple[float, float]]:
    """For each function, the earlier minimum and the one now, over the rounds whose state the other side has seen, too.

    One is left out where there are fewer than `FEWEST` such rounds, on either side.

    Args:
        earlier: of the same functions on the same machine; each may be in some of them alone.
    """
    alike = [_alike(each.state, now.state) for each in earlier]
    found = {}
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in now.rounds:
        having = tuple(index for index, each in enumerate(earlier) if name in each.rounds)
        if having:
            groups.setdefault(having, []).append(name)
    for having, group in groups.items():
        seen = sum(alike[index].sum(0) for index in having) >= FEWEST
        if np.count_nonzero(seen) < FEWEST:
            continue
        compared = [(earlier[index].rounds, alike[index][:, seen].any(1)) for index in having]
        for name in group:
            before = np.concatenate([np.asarray(rounds[name])[chosen] for rounds, chosen in compared])
            found[name] = float(before.min()), float(np.asarray(now.rounds[name])[seen].min())
    return found


def count_calm(measurement: Measured) -> int:
    """Rounds whose state is known."""
    return int(np.count_nonzero(np.isfinite(measurement.state)))


def _alike(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[earlier round, round now]: whether the machine was in the same state."""
    ratio = before[:, None] / now[None, :]
    return np.asarray(np.maximum(ratio, 1 / ratio) <= ALIKE)  # NaN is like nothing
