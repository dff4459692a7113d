"""What a picture carries beside its pixels, and `carry`: the one place that says what each format keeps of it."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from nafnet.images.formats import Format
from nafnet.images.metadata.exif import density_of, has_maker_note, keeps_maker_note_in_tiff, without_maker_note

SRGB_CODES = (1, 13)
"""Primaries and transfer of sRGB, by ITU-T H.273."""
_SRGB_CHUNKS = {
    b"gAMA": (45455).to_bytes(4, "big"),
    b"cHRM": b"".join(value.to_bytes(4, "big") for value in (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
}
_USUAL_DENSITIES = (25.4, 72, 96)
"""Of pixels per inch; programs write them without anybody's meaning it."""
_ROUNDED = 0.01
"""By which two that mean the same density differ."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is carried, of an upright picture. All empty by default."""

    icc: bytes = b""
    """The colour profile."""
    codes: tuple[int, int] | None = None
    """Primaries and transfer as ITU-T H.273 numbers them (PNG's cICP, AVIF's nclx); None where the file says none."""
    calibration: tuple[tuple[str, bytes], ...] = ()
    """PNG's other chunks on colour, gAMA and cHRM: name and content."""
    exif: bytes = b""
    """A block that begins with II or MM; orientation 1, no thumbnail."""
    xmp: bytes = b""
    photoshop: bytes = b""
    """Image resources, the IPTC records among them; no thumbnail."""
    comment: bytes = b""
    """Of a JPEG."""
    texts: tuple[tuple[str, bytes], ...] = ()
    """PNG's chunks of text as they stand, XMP's left out: name and content."""
    density: tuple[float, float] | None = None
    """Pixels per millimetre, across and down."""

    @property
    def size(self) -> int:
        """In bytes, about."""
        blobs = (self.icc, self.exif, self.xmp, self.photoshop, self.comment)
        return sum(map(len, blobs)) + sum(len(content) for _, content in (*self.texts, *self.calibration))

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; bytes in base 64."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Metadata:
        """What `to_json` gave."""
        return cls(**{name: _whole(value) for name, value in fields.items()})


NOTHING = Metadata()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    return tuple(_whole(item) for item in value) if isinstance(value, list) else value


WORDS = {
    "icc": "colour profile",
    "codes": "colour codes",
    "calibration": "gamma and primaries",
    "exif": "EXIF",
    "xmp": "XMP",
    "photoshop": "IPTC",
    "comment": "comment",
    "texts": "texts",
    "density": "resolution",
}
"""The fields of `Metadata`, as users call them."""
KEPT: dict[Format, tuple[str, ...]] = {
    "png": ("icc", "codes", "calibration", "exif", "xmp", "texts", "density"),
    "jpeg": ("icc", "exif", "xmp", "photoshop", "comment", "density"),
    "tiff": ("icc", "exif", "xmp", "photoshop", "density"),
    "webp": ("icc", "exif", "xmp"),
    "avif": ("icc", "codes", "exif", "xmp"),
    "jxl": ("icc", "codes", "exif", "xmp"),
    "bmp": ("density",),
    "ppm": (),
}
"""What each format that is written has a place for."""
_COLOUR_ONLY = ("webp", "avif")
"""Formats that store grey as colour, where a profile of grey says nothing."""
_COLOUR_WITH_ALPHA = ("jxl",)
"""Formats in which our encoder does so where there is alpha."""
_MOST: dict[tuple[Format, str], int] = {
    ("jpeg", "icc"): 255 * (65533 - 14),
    ("jpeg", "exif"): 65533 - 6, ("jpeg", "xmp"): 65533 - 29, ("jpeg", "photoshop"): 65533 - 14,
    ("jpeg", "comment"): 65533,
}  # fmt: skip
"""Bytes: a segment of a JPEG has 65,533 with what it begins with, and a profile takes up to 255."""


def carry(
    metadata: Metadata, file_format: Format, channels: int, *, alpha: bool = False
) -> tuple[Metadata, tuple[str, ...]]:
    """What of a picture's metadata a file of that format keeps, and in words what it does not.

    A loss that nobody can mean is none: sRGB named in a format that means sRGB, a density of 72 a program put there.

    Args:
        metadata: of the picture.
        file_format: of the file.
        channels: of its colours, 1 or 3.
        alpha: whether it has alpha.
    """
    kept: dict[str, Any] = {}
    notes = []
    for field in dataclasses.fields(metadata):
        name, value = field.name, getattr(metadata, field.name)
        if value and name not in KEPT[file_format]:
            if _is_loss(name, value, kept.get("exif", b"")):
                notes.append(f"{WORDS[name]} not kept: {file_format.upper()} has no place for it")
        elif value:
            as_colours = file_format in _COLOUR_ONLY or (alpha and file_format in _COLOUR_WITH_ALPHA)
            kept[name], note = _fitting(name, value, file_format, channels, as_colours=as_colours)
            notes += [note] if note else []
    return Metadata(**{name: value for name, value in kept.items() if value}), tuple(notes)


def _fitting(name: str, value: Any, file_format: Format, channels: int, *, as_colours: bool) -> tuple[Any, str]:
    """What fits into the format's place, and a note where that is less; `as_colours`: grey is stored so."""
    most, called = _MOST.get((file_format, name)), file_format.upper()
    if name == "icc":
        grey = value[16:20] == b"GRAY"
        if grey and (as_colours or channels == 3):
            with_alpha = " with alpha" if file_format in _COLOUR_WITH_ALPHA and channels == 1 else ""
            return b"", f"{WORDS[name]} not kept: it is one of grey, and {called}{with_alpha} holds colour"
        if not grey and channels == 1 and not as_colours:
            return b"", f"{WORDS[name]} not kept: it is one of colours, and the picture is grey"
    if name == "exif" and file_format == "tiff" and not keeps_maker_note_in_tiff(value):
        return value, "the camera's own notes not kept: in a TIFF they would not be where they say"
    if most is None or len(value) <= most:
        return value, ""
    if name == "exif" and has_maker_note(value) and len(smaller := without_maker_note(value)) <= most:
        return smaller, f"the camera's own notes not kept: {called} holds {most / 1024:.0f} kB of EXIF"
    size = f"{most / 1024:.0f} kB" if most < 10**6 else f"{most / 2**20:.0f} MB"
    return b"", f"{WORDS[name]} not kept: {called} holds {size} of it"


def _is_loss(name: str, value: Any, exif: bytes) -> bool:
    """Whether it matters that a format has no place for it; `exif` is what is kept."""
    if name == "codes":
        return bool(value != SRGB_CODES)
    if name == "calibration":
        return any(_SRGB_CHUNKS.get(chunk.encode()) != content for chunk, content in value)
    if name == "density":
        told = density_of(exif) if exif else None
        if told and all(abs(one / other - 1) < _ROUNDED for one, other in zip(told, value, strict=True)):
            return False
        return value[0] != value[1] or all(abs(25.4 * value[0] - usual) > 0.5 for usual in _USUAL_DENSITIES)
    return True
