"""What a run is asked to do beside the model: limits on hostile input, how results are written, what decides them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args

from nafnet.errors import UsageError
from nafnet.images.formats import DEFAULT_QUALITY, FORMATS, MAX_PIXELS, SUFFIXES, WRITTEN, WRITTEN_SUFFIXES, Format
from nafnet.images.header import Header
from nafnet.images.pixels import PIXEL_TYPES
from nafnet.runtime.engine.look import WHOLE, Look
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.paths.job import Job

Colour = Literal["auto", "as-is"]
AS_IS: Colour = "as-is"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one input may take."""

    max_pixels: int = MAX_PIXELS
    """By the header, before anything is decoded."""
    seconds: float = 60.0
    """Waiting for the decoder, without the second that each megapixel is given on top."""
    memory: int = 4 * 2**30
    """Bytes of address space of the decoding process; 0 is no limit."""
    strict: bool = False
    """Whether a damaged file that can still be decoded fails."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """What results are to be: how much of the model's work is taken, and how they are written."""

    format: Format | None = None
    """None keeps each file's own."""
    bits: int | None = None
    """8, 16 or 32 (floating point); None keeps each file's own."""
    quality: int | None = None
    """1 to 100, of formats with loss."""
    colour: Colour = "auto"
    """`auto` gives the model values as sRGB has them, by what a file says of its own; `as-is` those of the file."""
    look: Look = WHOLE
    """How much of the model's work is taken."""

    def __post_init__(self) -> None:
        if self.bits is not None and self.bits not in PIXEL_TYPES:
            raise UsageError(f"--depth {self.bits}: expected {', '.join(map(str, PIXEL_TYPES))}")
        if self.format is not None and self.format not in WRITTEN:
            raise UsageError(f"--format {self.format}: expected {', '.join(WRITTEN)}")
        if self.colour not in get_args(Colour):
            raise UsageError(f"--colour {self.colour}: expected {' or '.join(get_args(Colour))}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: expected 1 to 100")

    def format_for(self, target: Path) -> Format:
        """The format of a file's name.

        Raises:
            UsageError: it is no format's, or another was asked for.
        """
        named = SUFFIXES.get(target.suffix.lower())
        if named is None:
            raise UsageError(f"{target}: no image format ends so; expected {', '.join(WRITTEN_SUFFIXES)}")
        if FORMATS[named].written_as:
            raise UsageError(f"{target}: {named} is read alone; expected {', '.join(WRITTEN_SUFFIXES)}")
        if self.format not in (None, named):
            raise UsageError(f"{target}: its name says {named}, and format {self.format} was asked for")
        return named

    def target(self, header: Header, job: Job) -> Header:
        """The header of the result.

        It has the format that was asked for, or the photograph's; but where that is read alone, or its name was given
        another ending, that of its name.

        Args:
            header: of the photograph.
            job: what is made of it.

        Raises:
            ImageError: the format cannot hold it.
        """
        named = SUFFIXES.get(job.target.suffix.lower())
        renamed = job.target.suffix.lower() != job.source.suffix.lower() or header.format not in WRITTEN
        by_name = named if named in WRITTEN and renamed else None
        return header.converted(
            job.format or self.format, self.bits, with_loss=self.quality is not None, colours=self.colours,
            named=by_name,
        )  # fmt: skip

    def look_of(self, job: Job) -> Look:
        """How much of the model's work a job takes: its own strength, where there are several."""
        return self.look if job.strength is None else dataclasses.replace(self.look, strength=job.strength)

    @property
    def colours(self) -> bool:
        """Whether values are given to the model as sRGB has them."""
        return self.colour != AS_IS

    @property
    def effective_quality(self) -> int:
        """The quality asked for, or the default."""
        return DEFAULT_QUALITY if self.quality is None else self.quality


def result_settings(restorer: Restorer, encoding: Encoding) -> dict[str, Any]:
    """Everything that decides the bytes of a result, up to the rounding in which backends differ."""
    spec = restorer.spec
    return {
        "weights": spec.weights_sha256 or restorer.backend.model.sha256,
        "precision": restorer.backend.reduced_to or spec.precision, "local_pooling": spec.local_pooling,
        "tile": restorer.tile, "overlap": restorer.overlap, "whole": restorer.whole,
        "output": [encoding.format, encoding.bits, encoding.quality],
        # Beside a device tiles are not fitted to a picture's size. Only there: journals from before know no such key.
        **({"fixed_tiles": True} if restorer.backend.beside_cpu else {}),
        # As well only where they are not what they always were.
        **({"colour": encoding.colour} if encoding.colour != "auto" else {}),
        **({"look": dataclasses.astuple(encoding.look)} if encoding.look != WHOLE else {}),
    }  # fmt: skip
