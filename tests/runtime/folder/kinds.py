"""What a case of the matrix of formats is, beside those that come back as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
HEIGHT, WIDTH = 37, 53
LOSSY = 4.0
"""By which a value may differ on average that is encoded with loss, once or twice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One picture."""

    name: str
    write: Callable[[Path], object]
    expected: Pixels | None = None
    """What is to come of it; None if it is refused, or its pixels are tested elsewhere."""
    notes: tuple[str, ...] = ()
    most: float = 0
    """By which the values may differ on average."""
    result: str = ""
    """The result's name where it is another."""
    refused: str = ""
    """What is said of it."""


def values(bands: int, kind: Any, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return random.random((HEIGHT, WIDTH, bands)).astype(kind).squeeze()
    return random.integers(0, np.iinfo(kind).max, (HEIGHT, WIDTH, bands), kind, endpoint=True).squeeze()


def smooth(bands: int = 3) -> NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 3 + y, y * 4 + 30, 200 - x * 2], -1)[..., :bands].astype(np.uint8).squeeze()
