"""Which of the things that a file says of its colours counts."""

from __future__ import annotations

from typing import Any, Literal

from nafnet.images.colour.space import LINEAR_SPACE, SRGB_SPACE, Space
from nafnet.images.formats import Format
from nafnet.images.metadata.metadata import Metadata
from nafnet.images.pixels import PixelType

Carrier = Literal["icc", "codes", "calibration"]
"""A field of `Metadata`."""
Said = tuple[tuple[Carrier, Space], ...]
"""The space that each carrier says."""
_PNG_ORDER: tuple[Carrier, ...] = ("codes", "icc", "calibration")
"""By the PNG specification, third edition, section 4.3."""
_OTHER_ORDER: tuple[Carrier, ...] = ("icc", "codes", "calibration")


def counting(said: Said, metadata: Metadata, file_format: Format) -> Carrier | None:
    """The carrier that counts in a file of that format, of those whose field is still in the metadata."""
    order = _PNG_ORDER if file_format == "png" else _OTHER_ORDER
    names = {carrier for carrier, _ in said if getattr(metadata, carrier)}
    return next((carrier for carrier in order if carrier in names), None)


def space_of(said: Said, metadata: Metadata, file_format: Format, kind: PixelType) -> Space:
    """That of the carrier that counts, else sRGB, whose values are light where they are floats."""
    carrier = counting(said, metadata, file_format)
    if carrier:
        return dict(said)[carrier]
    return LINEAR_SPACE if kind == "float32" else SRGB_SPACE


def said_to_json(said: Said) -> list[list[Any]]:
    """As JSON holds it."""
    return [[carrier, space.to_json()] for carrier, space in said]


def said_from_json(fields: list[list[Any]]) -> Said:
    """What `said_to_json` gave."""
    return tuple((carrier, Space.from_json(space)) for carrier, space in fields)
