"""What a file says of itself before its pixels are decoded, and how it is to be written."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from nafnet.errors import ImageError
from nafnet.images.colour.primaries import display_profile, primaries_of
from nafnet.images.colour.said import Said, counting, space_of
from nafnet.images.colour.space import Space
from nafnet.images.colour.tone import SRGB
from nafnet.images.formats import DEFAULT_QUALITY, FORMATS, Format
from nafnet.images.metadata.metadata import KEPT, NOTHING, SRGB_CODES, Metadata, carry
from nafnet.images.pixels import PIXEL_TYPES, PixelType
from nafnet.images.timing import ONE_FRAME, Timing

BRIGHTER = 1.1
"""Light that is meant to be more than white's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself before its pixels are decoded, and what is kept of it in the restored file."""

    width: int
    """Of the upright image, in pixels: the EXIF orientation is applied to the pixels and dropped."""
    height: int
    """Of one frame, where there are several."""
    format: Format
    channels: int
    """Colour channels, 1 (grey) or 3 (RGB)."""
    alpha: bool
    pixel_type: PixelType
    """Integers over their full range; float32 with white at 1."""
    bits: int
    """Of each value as the file stores it; 10 or 12 in some AVIF."""
    lossless: bool
    """Whether the file's compression kept every pixel; decides how WebP is written."""
    metadata: Metadata = NOTHING
    said: Said = ()
    """What it says of its colour space."""
    timing: Timing = ONE_FRAME
    """Of pages or frames, whose rows follow one another."""
    notes: tuple[str, ...] = ()
    """What the restored file cannot keep as it was, in words."""

    @property
    def bands(self) -> int:
        """Values of a pixel, alpha included."""
        return self.channels + self.alpha

    @property
    def rows(self) -> int:
        """Of all frames together."""
        return self.height * self.timing.frames

    @property
    def pixels(self) -> int:
        """Of all frames together."""
        return self.width * self.rows

    @property
    def space(self) -> Space:
        """What its values stand for."""
        return space_of(self.said, self.metadata, self.format, self.pixel_type)

    @property
    def row_bytes(self) -> int:
        """Bytes of a decoded row."""
        return self.width * self.bands * np.dtype(self.pixel_type).itemsize

    def converted(
        self, file_format: Format | None, bits: int | None, *, with_loss: bool = False, colours: bool = False,
        named: Format | None = None,
    ) -> Header:  # fmt: skip
        """The header of a file in another format or depth (8, 16 or 32 bits); None keeps what is.

        A format that is read alone becomes another, and a note says so.
        A format that cannot hold the depth takes the deepest that it can; notes say so, and what of the metadata it
        has no place for.

        Args:
            file_format: of that file.
            bits: of its values.
            with_loss: a loss is asked for, as by a quality: a format that could do without it is written with it.
            named: the format that the file's name says, where that counts and none is asked for.
            colours: values are changed to those of the `space` it then has; else they stay, whatever they stand for.

        Raises:
            ImageError: the format cannot hold the depth asked for, the alpha channel or the size, or is not written.
        """
        chosen = file_format or named or FORMATS[self.format].written_as or self.format
        info = FORMATS[chosen]
        if info.written_as:
            raise ImageError(f"{chosen} is read alone; choose another --format")
        kind, notes = PIXEL_TYPES[bits] if bits else self.pixel_type, self.notes
        if file_format is None and chosen != self.format:
            with_default = info.has_quality and not with_loss and not (self.lossless and chosen != "jpeg")
            quality = f" of quality {DEFAULT_QUALITY}" if with_default else ""
            why = "is read alone, and" if FORMATS[self.format].written_as else "by its name"
            became = f"{self.format.upper()} {why} became {chosen.upper()}{quality}"
            notes = (*notes, f"{became}: --format chooses another")
        if kind not in info.holds:
            if bits:
                raise ImageError(f"{chosen} cannot hold {bits} bits; choose another --format or --depth")
            kind = info.holds[-1]
            notes = (*notes, f"{self.pixel_type} became {kind}, the most that {chosen} holds")
        if self.alpha and not info.alpha:
            raise ImageError(f"{chosen} cannot hold its alpha channel; choose another --format")
        timing, untimed = self._timing(chosen)
        notes = (*notes, *untimed)
        if max(self.width, self.height) > info.max_side:
            raise ImageError(f"{chosen} holds at most {info.max_side} pixels a side; choose another --format")
        kept = chosen == self.format and kind == self.pixel_type
        natural = 8 * np.dtype(kind).itemsize
        metadata = self._fitting_colours(chosen) if colours else self.metadata
        metadata, lost = carry(metadata, chosen, self.channels, alpha=self.alpha)
        if timing.is_animation and chosen == "avif" and metadata.codes not in (None, SRGB_CODES):
            raise ImageError("an AVIF animation with colour codes cannot be written; choose another --format")
        made = dataclasses.replace(
            self, format=chosen, pixel_type=kind, bits=self.bits if kept else natural, notes=(*notes, *lost),
            metadata=metadata, timing=timing,
            lossless=not with_loss and self.lossless and (kept or not info.has_quality or self.format != "jpeg"),
        )  # fmt: skip
        if not colours:
            return made
        said = tuple((carrier, space) for carrier, space in self.said if getattr(metadata, carrier))
        if metadata.icc != self.metadata.icc:
            made_one = (("icc", Space(SRGB, self.space.matrix)),) if metadata.icc else ()
            said = (*(pair for pair in said if pair[0] != "icc"), *made_one)
        made = dataclasses.replace(made, said=said)
        return dataclasses.replace(made, notes=(*made.notes, *_exchanged(self, made)))

    def _timing(self, file_format: Format) -> tuple[Timing, tuple[str, ...]]:
        """That of a file of a format, and in words what of it is lost."""
        timing, several = self.timing, FORMATS[file_format].several
        if timing.frames == 1:
            return timing, ()
        if not several or (several == "animation" and not timing.is_animation):
            what = "frames" if timing.is_animation else "pages"
            raise ImageError(f"{file_format} cannot hold its {timing.frames} {what}; choose another --format")
        if timing.is_animation and several == "pages":
            return Timing(timing.frames), (f"an animation became {timing.frames} pages, without their times",)
        if timing.loops and file_format == "avif":
            return dataclasses.replace(timing, loops=0), ("its number of loops not kept: AVIF has no place for it",)
        return timing, ()

    def _fitting_colours(self, file_format: Format) -> Metadata:
        """The metadata; colours in numbers that a format has no place for are a profile, or what means sRGB."""
        metadata = self.metadata
        counts = counting(self.said, metadata, self.format)
        if counts in (None, "icc") or counts in KEPT[file_format]:
            return metadata
        carrier: Any = counts
        primaries = primaries_of(metadata, carrier) if self.channels == 3 else None
        if primaries and "icc" not in KEPT[file_format]:
            return metadata
        icc = display_profile(primaries) if primaries else b""
        return dataclasses.replace(metadata, icc=icc, codes=None, calibration=())


def _exchanged(given: Header, made: Header) -> tuple[str, ...]:
    """What becomes of colours, in words."""
    one, other = given.space, made.space
    whole = made.pixel_type == "float32"
    notes = []
    if one.tone != other.tone and not (one.tone.is_srgb and other.tone.is_srgb):
        lost = not whole and one.tone.light[0][-1] > BRIGHTER > other.tone.light[0][-1]
        cut = "; what is brighter than white is cut off" if lost else ""
        notes.append(f"{one.tone.name} became {other.tone.name}{cut}")
    if one.matrix and not other.matrix:
        notes.append(f"its colours became sRGB's{'' if whole else '; what sRGB does not hold is cut off'}")
    return tuple(notes)
