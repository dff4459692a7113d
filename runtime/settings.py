"""What a run is asked to do beside the model: limits on hostile input, and how the results are written."""

from __future__ import annotations

import dataclasses

from nafnet.errors import UsageError
from nafnet.imageformats import MAX_PIXELS, PIXEL_TYPES, Format
from nafnet.imagewriter import DEFAULT_QUALITY


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one input may take."""

    max_pixels: int = MAX_PIXELS
    """By the header, before anything is decoded."""
    seconds: float = 60.0
    """Waiting for the decoder, without the second that each megapixel is given on top."""
    memory: int = 4 * 2**30
    """Bytes of address space of the decoding process; 0 is no limit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """How results are written."""

    format: Format | None = None
    """None keeps each file's own."""
    bits: int | None = None
    """8, 16 or 32 (floating point); None keeps each file's own."""
    quality: int | None = None
    """1 to 100, of formats with loss."""

    def __post_init__(self) -> None:
        if self.bits is not None and self.bits not in PIXEL_TYPES:
            raise UsageError(f"--depth {self.bits}: expected {', '.join(map(str, PIXEL_TYPES))}")

    @property
    def effective_quality(self) -> int:
        """The quality asked for, or the default."""
        return DEFAULT_QUALITY if self.quality is None else self.quality
