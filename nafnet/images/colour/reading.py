"""What a picture's metadata says of its colours."""

from __future__ import annotations

import functools

import numpy as np

from nafnet.images.colour.primaries import SRGB_PRIMARIES, Primaries, primaries_of, to_xyz
from nafnet.images.colour.profile import is_of, profile_space
from nafnet.images.colour.said import Carrier, Said
from nafnet.images.colour.space import Space
from nafnet.images.colour.tone import LINEAR, SRGB, Tone
from nafnet.images.colour.transfer import HLG, HLG_GAMMA, NAMED, gamma
from nafnet.images.metadata.metadata import Metadata

_USUAL_GAMMA = 45455
"""What programs write for sRGB."""
_NEAR = 100
_LEAST_GAMMA, _MOST_GAMMA = 10_000, 400_000
UNUSABLE = "its colour profile cannot be used; its values are taken for sRGB's"

_profile_space = functools.lru_cache(maxsize=16)(profile_space)  # the pictures of a folder have the same


def read_said(metadata: Metadata, channels: int) -> tuple[Said, tuple[str, ...]]:
    """What a file says of its colour space, and in words what of that cannot be used.

    Args:
        metadata: of the file.
        channels: of its colours, 1 or 3.
    """
    said: list[tuple[Carrier, Space]] = []
    notes: tuple[str, ...] = ()
    if metadata.icc:
        space = _profile_space(metadata.icc, channels)
        if space:
            said.append(("icc", space))
        elif is_of(metadata.icc, channels):
            notes = (UNUSABLE,)
    if metadata.codes:
        code = metadata.codes[1]
        tone = Tone.of(*NAMED[code]) if code in NAMED else SRGB
        system = HLG_GAMMA if code == HLG else 1.0
        said.append(("codes", _space(tone, primaries_of(metadata, "codes"), channels, system)))
    value, primaries = _gamma(metadata), primaries_of(metadata, "calibration")
    if value or primaries:
        tone = _of_gamma(value) if value else SRGB
        said.append(("calibration", _space(tone, primaries, channels)))
    return tuple(said), notes


def _space(tone: Tone, primaries: Primaries | None, channels: int, system: float = 1.0) -> Space:
    if primaries is None or channels != 3:
        return Space(tone, gamma=system)
    try:
        return Space.of(tone, np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(primaries), system)
    except np.linalg.LinAlgError:
        return Space(tone, gamma=system)


def _gamma(metadata: Metadata) -> int:
    content = dict(metadata.calibration).get("gAMA", b"")
    value = int.from_bytes(content, "big") if len(content) == 4 else 0
    return value if _LEAST_GAMMA <= value <= _MOST_GAMMA else 0


def _of_gamma(value: int) -> Tone:
    """PNG's gAMA: a hundred thousand times the power of light that a value is."""
    if abs(value - _USUAL_GAMMA) <= _NEAR:
        return SRGB
    exponent = 100_000 / value
    return LINEAR if abs(exponent - 1) < 1e-3 else Tone.of(f"gamma {exponent:.2f}", gamma(exponent))
