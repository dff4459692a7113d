"""What a picture's metadata says of its tone, and which of several that say it counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from nafnet.images.colour.profile import profile_tone
from nafnet.images.colour.tone import LINEAR, SRGB, Tone
from nafnet.images.colour.transfer import NAMED, gamma
from nafnet.images.formats import Format
from nafnet.images.metadata.metadata import Metadata
from nafnet.images.pixels import PixelType

Carrier = Literal["icc", "codes", "calibration"]
"""A field of `Metadata`."""
Said = tuple[tuple[Carrier, Tone], ...]
"""The tone that each carrier says, the one that counts first."""
_PNG_ORDER: tuple[Carrier, ...] = ("codes", "icc", "calibration")
"""By the PNG specification, third edition, section 4.3."""
_OTHER_ORDER: tuple[Carrier, ...] = ("icc", "codes", "calibration")
_USUAL_GAMMA = 45455
"""What programs write for sRGB."""
_NEAR = 100
_LEAST_GAMMA, _MOST_GAMMA = 10_000, 400_000


def said_of(metadata: Metadata, file_format: Format, channels: int) -> tuple[Said, list[str]]:
    """What a file says of its tone, and notes on what of it cannot be used.

    Args:
        metadata: of the file.
        file_format: decides what counts where two say it.
        channels: of its colours, 1 or 3.
    """
    found: dict[Carrier, Tone] = {}
    notes = []
    if metadata.icc:
        tone = profile_tone(metadata.icc, channels)
        if tone:
            found["icc"] = tone
        else:
            notes.append("its colour profile cannot be used; the values are taken for sRGB")
    if metadata.codes:
        found["codes"] = Tone.of(*NAMED[metadata.codes[1]]) if metadata.codes[1] in NAMED else SRGB
    if exponent := _gamma(metadata.calibration):
        found["calibration"] = _of_gamma(exponent)
    order = _PNG_ORDER if file_format == "png" else _OTHER_ORDER
    return tuple((carrier, found[carrier]) for carrier in order if carrier in found), notes


def tone_of(said: Said, kind: PixelType) -> Tone:
    """The tone that counts: the first that is said, else light for floating point and sRGB for integers."""
    if said:
        return said[0][1]
    return LINEAR if kind == "float32" else SRGB


def still_said(said: Said, metadata: Metadata) -> Said:
    """What is said once only this metadata is left."""
    return tuple((carrier, tone) for carrier, tone in said if getattr(metadata, carrier))


def _gamma(calibration: Iterable[tuple[str, bytes]]) -> int:
    content = dict(calibration).get("gAMA", b"")
    value = int.from_bytes(content, "big") if len(content) == 4 else 0
    return value if _LEAST_GAMMA <= value <= _MOST_GAMMA else 0


def _of_gamma(value: int) -> Tone:
    """PNG's gAMA: a hundred thousand times the power of light that a value is."""
    if abs(value - _USUAL_GAMMA) <= _NEAR:
        return SRGB
    exponent = 100_000 / value
    return LINEAR if abs(exponent - 1) < 1e-3 else Tone.of(f"gamma {exponent:.2f}", gamma(exponent))
