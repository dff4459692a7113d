"""The pictures that accuracy is measured on: the user's, or the sample photographs, made worse as the model's task is
to make them better."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nafnet.benchmarks.photographs import in_unit_range, photographs, with_gaussian_noise
from nafnet.errors import MissingExtraError, UsageError
from nafnet.export.gate.cases import picture
from nafnet.export.gate.photographs import centre, read_photographs, read_truth

SMALLEST = 11
"""Side of a picture: that of SSIM's window."""
SIDES = 256, 512
"""Fewest and most pixels a side of a picture's middle, which every backend restores, where nobody said how many: one
tile. What a backend makes of a tile says all of the backend; PyTorch alone tells what tiles do to pictures."""
SIGMA = 25
BLUR = 9
"""Pixels along a row."""
Planes = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """float32[C,H,W] in [0, 1]."""

    name: str
    degraded: Planes
    clean: Planes | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """What accuracy is measured on, and what it is in words."""

    description: str
    pictures: list[Picture]

    @property
    def largest(self) -> int:
        """Pixels of the longest side."""
        return max(max(picture.degraded.shape[1:]) for picture in self.pictures)


def side_for(tile: int) -> int:
    """Of the middles of pictures, where nobody said, for tiles of so many pixels a side."""
    return min(max(tile, SIDES[0]), SIDES[1])


def load_pictures(images: Path | None, truth: Path | None, task: str, channels: int, side: int) -> Pictures:
    """The user's pictures, or else samples.

    Args:
        images: a folder; None is the sample photographs, or generated ones where their libraries are not installed.
        truth: the clean version of each by its name.
        task: of the model, as its spec says.
        channels: of the model.
        side: of their middles, at most; more is not looked at.

    Raises:
        UsageError: the folders do not fit, or cannot be read.
    """
    if images is None:
        if truth is not None:
            raise UsageError("--truth: the clean versions of the pictures in --images, which was not given")
        return _samples(task, channels, side)
    found = read_photographs(images, (side, side), least=(1, 1))
    for photograph in found.used:
        height, width = photograph.planes.shape[1:]
        if min(height, width) < SMALLEST:
            raise UsageError(
                f"--images {images}: {photograph.name} has {width}x{height} pixels; expected at least "
                f"{SMALLEST} a side, which SSIM needs"
            )
    found = read_truth(truth, found) if truth is not None else found
    pictures = [
        Picture(
            name=photograph.name,
            degraded=_middle(photograph.planes, channels, side),
            clean=None if photograph.truth is None else _middle(photograph.truth.planes, channels, side),
        )
        for photograph in found.used
    ]
    files = sum(path.is_file() for path in images.iterdir())
    which = f"{len(found.used)} of {files} files in {images.resolve().name}"
    return Pictures(description=f"The middles, up to {side} pixels a side, of {which}", pictures=pictures)


def _middle(planes: Planes, channels: int, side: int) -> Planes:
    return centre(planes, channels, *(min(length, side) for length in planes.shape[1:]))


def _samples(task: str, channels: int, side: int) -> Pictures:
    try:
        clean = {name: in_unit_range(pixels).transpose(2, 0, 1) for name, pixels in photographs()}
        kind = "photographs that scikit-image and scikit-learn install"
    except MissingExtraError:
        clean = {f"generated {index}": planes for index, planes in enumerate(picture(4, channels, side, side))}
        kind = "generated pictures"
    pictures, done = [], ""
    for seed, (name, planes) in enumerate(clean.items()):
        target = _middle(planes, channels, side)
        degraded, done = _degraded(target, task, seed)
        pictures.append(Picture(name=name, degraded=degraded, clean=target))
    return Pictures(description=f"The middles, up to {side} pixels a side, of {kind}; {done}", pictures=pictures)


def _degraded(clean: Planes, task: str, seed: int) -> tuple[Planes, str]:
    """[C,H,W], and in words what was done."""
    if task == "deblur":
        padded = np.pad(clean, ((0, 0), (0, 0), (BLUR // 2, BLUR // 2)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, BLUR, axis=2)
        return windows.mean(-1, dtype=np.float32), f"blurred over {BLUR} pixels along the rows"
    eight_bits = np.rint(clean * 255).astype(np.uint8)
    noisy = with_gaussian_noise(eight_bits, SIGMA, seed)
    return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32), f"sigma {SIGMA} added, 8 bits"
