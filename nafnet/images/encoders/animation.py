"""Animations of PNG and AVIF, by Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nafnet.images.containers.png import write_png
from nafnet.images.header import Header
from nafnet.images.pixels import Rows


def save(path: Path, header: Header, pixels: Rows, quality: int) -> None:
    """Write frames, uint8[frames x H,W,C], alpha last.

    Args:
        path: of the file.
        header: of what is written; its timing says how long each frame is shown.
        pixels: all frames, one below the other.
        quality: 1 to 100, of AVIF.

    Raises:
        OSError: the library, or the disk, refused.
    """
    from PIL import Image

    height, timing = header.height, header.timing
    parts = [pixels[start : start + height] for start in range(0, len(pixels), height)]
    first, *others = [Image.fromarray(part[:, :, 0] if part.shape[2] == 1 else part) for part in parts]
    options: dict[str, Any] = {"icc_profile": header.metadata.icc or None}
    if header.format == "png":
        options |= {"loop": timing.loops, "compress_level": 6}
    else:
        options |= {"quality": quality, "subsampling": "4:4:4", "exif": header.metadata.exif}
        options["xmp"] = header.metadata.xmp
    durations = list(timing.delays)
    first.save(path, header.format, save_all=True, append_images=others, duration=durations, **options)
    if header.format == "png":
        write_png(path, header.metadata)
