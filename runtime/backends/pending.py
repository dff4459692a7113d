"""A batch that is not written yet: who runs it says where to, so that it is written once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nafnet.spec import WireType
from nafnet.wire import Batch, to_wire, wire_dtype, wire_shape

Wired = NDArray[np.generic]
"""A batch as a model takes or gives it: float32 or float16 [N,C,H,W], or uint8[N,H,W,C]."""


@dataclasses.dataclass(frozen=True)
class Pending:
    """A batch of tiles on its way to a backend."""

    shape: tuple[int, int, int, int]
    """(N, C, H, W)."""
    write: Callable[[Wired], None]
    """Writes all of it into memory of the shape and type that the model takes."""

    @classmethod
    def of(cls, batch: Batch, wire: WireType) -> Self:
        """What is there already, float32[N,C,H,W]."""

        def write(out: Wired) -> None:
            out[...] = to_wire(batch, wire)

        count, channels, height, width = batch.shape
        return cls((count, channels, height, width), write)

    def written(self, wire: WireType) -> Wired:
        """The batch in memory of its own."""
        out = np.empty(wire_shape(self.shape, wire), wire_dtype(wire))
        self.write(out)
        return out
