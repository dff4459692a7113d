"""A picture as it is shown beside others, in comparisons and on pages: 8 bits, in a profile that a JPEG can hold."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from nafnet.images.colour.space import Space
from nafnet.images.header import Header
from nafnet.images.pixels import Rows, convert_depth
from nafnet.images.timing import ONE_FRAME


@dataclasses.dataclass(frozen=True)
class Shown:
    """How the rows of one picture are shown."""

    icc: bytes
    """The profile they are shown with."""
    given: Space
    """Of the picture,"""
    wanted: Space
    """and of what is shown."""
    channels: int
    """Of colours; more than these are left out."""

    @classmethod
    def of(cls, header: Header) -> Shown:
        """How a picture of that header is shown."""
        one = dataclasses.replace(header, width=1, height=1, alpha=False, timing=ONE_FRAME)
        jpeg = one.converted("jpeg", 8, colours=True)
        return cls(jpeg.metadata.icc, header.space, jpeg.space, header.channels)

    def rows(self, rows: Rows) -> NDArray[np.uint8]:
        """uint8[n,W,C] of rows."""
        colours = rows[:, :, : self.channels]
        if self.given != self.wanted and not (self.given.is_srgb and self.wanted.is_srgb):
            colours = self.wanted.values(self.given.light(colours))
        return convert_depth(colours, "uint8").astype(np.uint8, copy=False)
