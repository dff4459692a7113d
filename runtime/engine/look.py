"""How much of what a model does is wanted: its strength, that on colours apart, and the detail that comes back.

Shapes: h rows, w columns, C colour channels, 1 (grey) or 3 (RGB).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import UsageError
from nafnet.runtime.engine.wavelet import structure

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Shares of red, green and blue in luminance, as ITU-R BT.601 and JPEG have them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What of the model's work is taken. By default all of it.

    Raises:
        UsageError: a value that is not from 0 to 1.
    """

    strength: float = 1.0
    """0 leaves the picture as it was, 1 is what the model gives, and between them a share of each."""
    chroma: float | None = None
    """The strength on colours apart from luminance, which takes out spots of colour; None is `strength`."""
    detail: float = 0.0
    """Of the fine structure in what the model took from luminance, the share that comes back."""

    def __post_init__(self) -> None:
        for name in ("strength", "chroma", "detail"):
            value = getattr(self, name)
            if value is None and name == "chroma":
                continue
            if value is None or isinstance(value, bool) or not (math.isfinite(value) and 0 <= value <= 1):
                raise UsageError(f"--{name} {value}: expected a number from 0 to 1")

    @property
    def chroma_strength(self) -> float:
        """The strength on colours."""
        return self.strength if self.chroma is None else self.chroma

    @property
    def is_whole(self) -> bool:
        """Whether what the model gives is taken as it is."""
        return self.strength == self.chroma_strength == 1

    @property
    def is_nothing(self) -> bool:
        """Whether the picture stays as it was."""
        return self.strength == self.chroma_strength == 0

    def mixed(self, seen: NDArray[Any], made: NDArray[Any]) -> NDArray[np.float32]:
        """What was seen and what the model made of it, float32[h,w,C], mixed."""
        if self.is_whole:
            return made
        change = made - seen
        if self.strength == self.chroma_strength or change.shape[2] == 1:
            change *= np.float32(self.strength)
        else:
            luma = (change @ LUMA)[:, :, None]
            change -= luma
            change *= np.float32(self.chroma_strength)
            change += np.float32(self.strength) * luma
        change += seen
        return change


WHOLE = Look()


def with_structure(
    seen: NDArray[np.float32], made: NDArray[np.float32], detail: float
) -> NDArray[np.float32]:  # fmt: skip
    """A tile that the model made, float32[C,h,w], with a share of the structure that it took from what it saw."""
    removed = seen - made
    luma = np.tensordot(LUMA, removed, 1) if len(removed) == 3 else removed[0]
    with_it: NDArray[np.float32] = made + np.float32(detail) * structure(luma)
    return with_it
