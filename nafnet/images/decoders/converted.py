"""What libvips decodes and the network does not know, made into grey or RGB of 8 or 16 bits; in words what was done.

Sources: TIFF 6.0 (Adobe, 1992), sections 18 (associated alpha) and 23 (CIELAB); Adobe PageMaker 6.0 TIFF technical
notes (1995; ICCLab, 16 bits).
"""

from __future__ import annotations

import mmap
from pathlib import Path

from nafnet.errors import ImageError
from nafnet.images.containers.tiff import CIELAB, Layout
from nafnet.images.vips import pyvips
from nafnet.words import counted

BUILT_IN = "CMYK without a profile became sRGB by libvips' built-in one"
_OFFSETS = {1: 128, 2: 32768}
"""Of a* and b* of ICCLab, by the bytes of a value; those of CIELAB are signed."""


def converted(path: Path, image: pyvips.Image, layout: Layout) -> tuple[pyvips.Image, list[str]]:
    """The image in grey or RGB, and what of it changed, in words; what is such already stays as it is.

    Args:
        path: of the file.
        image: upright.
        layout: of a TIFF; of others an empty one.

    Raises:
        ImageError: its profile does not convert it.
    """
    notes = []
    if layout.lab:
        image = _from_lab(image, layout)
        notes.append("CIELAB became sRGB; colours that sRGB does not hold are cut off")
    if image.interpretation == "cmyk" and image.bands == 4:
        image, note = _from_cmyk(path, image)
        notes.append(note)
    if image.format == "uint":
        grey = image.interpretation == "b-w"
        image = (image.cast("double") * (65535 / (2**32 - 1))).rint().cast("ushort")
        image = image.copy(interpretation="grey16" if grey else "rgb16")
        notes.append("32 bits became 16")
    if layout.is_half:
        notes.append("floats of 16 bits became floats of 32")
    if further := len(layout.extra) - 1:
        image = _with_one_alpha(image, layout)
        kept = any(kind in (1, 2) for kind in layout.extra)
        notes.append(f"{counted(further + (not kept), 'further channel')} not kept")
    return image, notes


def overlaid(path: Path, at: int, data: bytes) -> pyvips.Source:
    """A file as libvips reads it, with other bytes at one place."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # pages are read as they are asked for
    mapped[at : at + len(data)] = data
    return pyvips.Source.new_from_memory(mapped)


def _from_cmyk(path: Path, image: pyvips.Image) -> tuple[pyvips.Image, str]:
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    own = profile[16:20] == b"CMYK"
    note = "CMYK became sRGB, by its profile" if own else BUILT_IN
    depth = 16 if image.format == "ushort" else 8
    try:
        if own:
            return image.icc_transform("srgb", embedded=True, intent="relative", depth=depth), note
        return image.icc_transform("srgb", input_profile="cmyk", intent="relative", depth=depth), note
    except pyvips.Error as error:
        words = " ".join(str(error.detail or error.message).split())
        raise ImageError(f"{path}: CMYK that its profile does not convert ({words})") from error


def _from_lab(image: pyvips.Image, layout: Layout) -> pyvips.Image:
    """sRGB of 8 or 16 bits of values that libvips was told are RGB; the white of both is the same, as Photoshop's."""
    signed = {"uchar": "char", "char": "char", "ushort": "short", "short": "short"}.get(image.format)
    alpha = image[3:] if image.bands > 3 else None
    if signed is None:
        lab, depth = image[0:3], 16
    else:
        size = 1 if signed == "char" else 2
        unsigned = image.copy(format="uchar" if size == 1 else "ushort")
        whole, step = 256**size - 1, 256 ** (size - 1)
        if layout.lab == CIELAB:
            light, rest = unsigned[0] * (100 / whole), image.copy(format=signed)[1:3] / step
        else:
            light, rest = unsigned[0] * (100 / (255 * step)), (unsigned[1:3] - _OFFSETS[size]) / step
        lab, depth = light.bandjoin(rest), 8 * size
    lab = lab.cast("float").copy(interpretation="lab")
    made = lab.icc_export(output_profile="srgb", intent="relative", pcs="lab", depth=depth)
    return made if alpha is None else made.bandjoin(alpha.cast(made.format))


def _with_one_alpha(image: pyvips.Image, layout: Layout) -> pyvips.Image:
    """The colours, and the first further channel that is said to be alpha."""
    colours = image.bands - len(layout.extra)
    alpha = next((colours + place for place, kind in enumerate(layout.extra) if kind in (1, 2)), None)
    made = image[0:colours]
    return made if alpha is None else made.bandjoin(image[alpha])
