"""Pairs of images, degraded and clean, wherever they lie: in files, or in arrays.

Shapes: N pairs, H height, W width; every image is uint8[H,W,3], RGB.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import DataError, ImageError
from nafnet.images.file import read_header, read_image
from nafnet.train.data.digests import DigestMemory, combined

Image = NDArray[np.uint8]


class Pairs(Protocol):
    """A list of pairs."""

    @property
    def names(self) -> Sequence[str]:
        """One for each pair, unique."""

    def load(self, index: int) -> tuple[Image, Image]:
        """The degraded image and the clean one, of one size.

        Raises:
            DataError: it cannot be read, or the two differ in size.
        """

    def fault(self, index: int) -> str | None:
        """What is wrong with a pair as far as its headers tell, or None."""

    def digest(self, index: int, memory: DigestMemory) -> str:
        """SHA-256 of the pair's content, in hexadecimal; `memory` knows files that did not change."""

    def subset(self, indices: Sequence[int]) -> Pairs:
        """Some of them, in the order given."""


@dataclasses.dataclass(frozen=True)
class FilePairs:
    """Pairs of image files."""

    names: tuple[str, ...]
    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]

    def load(self, index: int) -> tuple[Image, Image]:
        degraded, clean = _pixels(self.inputs[index]), _pixels(self.targets[index])
        if degraded.shape != clean.shape:
            raise DataError(_differ(self.inputs[index], self.targets[index], degraded.shape, clean.shape))
        return degraded, clean

    def fault(self, index: int) -> str | None:
        sizes = []
        for path in (self.inputs[index], self.targets[index]):
            try:
                header = read_header(path)
            except ImageError as error:
                return str(error)
            if header.pixel_type != "uint8" or header.channels != 3:
                return f"{path}: {header.pixel_type} with {header.channels} channels; expected 8-bit RGB"
            sizes.append((header.height, header.width))
        return None if sizes[0] == sizes[1] else _differ(self.inputs[index], self.targets[index], *sizes)

    def digest(self, index: int, memory: DigestMemory) -> str:
        return combined(memory.of(path) for path in (self.inputs[index], self.targets[index]))

    def subset(self, indices: Sequence[int]) -> FilePairs:
        """Some of them, in the order given."""
        return FilePairs(
            tuple(self.names[i] for i in indices),
            tuple(self.inputs[i] for i in indices),
            tuple(self.targets[i] for i in indices),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayPairs:
    """Pairs in two arrays, uint8[N,H,W,3], perhaps memory-mapped."""

    names: tuple[str, ...]
    inputs: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    indices: tuple[int, ...]
    """Of the rows of the arrays, one for each name."""

    def load(self, index: int) -> tuple[Image, Image]:
        row = self.indices[index]
        return np.array(self.inputs[row]), np.array(self.targets[row])

    def fault(self, index: int) -> str | None:
        """Nothing: arrays are checked when they are found."""
        del index
        return None

    def digest(self, index: int, memory: DigestMemory) -> str:
        del memory
        return hashlib.sha256(b"".join(side.tobytes() for side in self.load(index))).hexdigest()

    def subset(self, indices: Sequence[int]) -> ArrayPairs:
        """Some of them, in the order given."""
        names = tuple(self.names[i] for i in indices)
        return dataclasses.replace(self, names=names, indices=tuple(self.indices[i] for i in indices))


def _pixels(path: Path) -> Image:
    try:
        pixels: NDArray[Any] = read_image(path).pixels
    except ImageError as error:
        raise DataError(str(error)) from error
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise DataError(f"{path}: {pixels.dtype} with {pixels.shape[2]} channels; expected 8-bit RGB")
    return pixels


def _differ(degraded: Path, clean: Path, first: Sequence[int], second: Sequence[int]) -> str:
    return (
        f"{degraded}: {first[1]}x{first[0]} pixels, but {clean.name} has {second[1]}x{second[0]}; "
        "expected a pair of one size"
    )
