"""Pairs of images, degraded and clean, wherever they lie: in files, or in arrays.

Shapes: N pairs, H height, W width; every image is uint8[H,W,3] or uint16[H,W,3], RGB, over its type's full range.
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
from nafnet.images.header import Header
from nafnet.train.data.digests import DigestMemory, combined

Image = NDArray[np.uint8] | NDArray[np.uint16]


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of both images of a pair."""

    height: int
    width: int
    bits: int = 8
    """Of a value: 8, or 16 where one of the two images has them."""


class Pairs(Protocol):
    """A list of pairs."""

    @property
    def names(self) -> Sequence[str]:
        """One for each pair, unique."""

    def load(self, index: int) -> tuple[Image, Image]:
        """The degraded image and the clean one, of one size and type.

        Raises:
            DataError: it cannot be read, or the two differ in size.
        """

    def shape(self, index: int) -> Shape:
        """What a pair is, as far as its headers tell.

        Raises:
            DataError: it cannot be read, is not RGB, or the two differ in size.
        """

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
        return (degraded, clean) if degraded.dtype == clean.dtype else (_deepened(degraded), _deepened(clean))

    def shape(self, index: int) -> Shape:
        headers = []
        for path in (self.inputs[index], self.targets[index]):
            try:
                headers.append(read_header(path))
            except ImageError as error:
                raise DataError(str(error)) from error
            _check(path, headers[-1])
        sizes = [(header.height, header.width) for header in headers]
        if sizes[0] != sizes[1]:
            raise DataError(_differ(self.inputs[index], self.targets[index], *sizes))
        return Shape(*sizes[0], max(_BITS[header.pixel_type] for header in headers))

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

    def shape(self, index: int) -> Shape:
        """Nothing is wrong: arrays are checked when they are found."""
        return Shape(*self.inputs[self.indices[index]].shape[:2])

    def digest(self, index: int, memory: DigestMemory) -> str:
        del memory
        return hashlib.sha256(b"".join(side.tobytes() for side in self.load(index))).hexdigest()

    def subset(self, indices: Sequence[int]) -> ArrayPairs:
        """Some of them, in the order given."""
        names = tuple(self.names[i] for i in indices)
        return dataclasses.replace(self, names=names, indices=tuple(self.indices[i] for i in indices))


_BITS = {"uint8": 8, "uint16": 16}


def _pixels(path: Path) -> Image:
    try:
        image = read_image(path)
    except ImageError as error:
        raise DataError(str(error)) from error
    _check(path, image.header)
    pixels: Any = image.pixels
    return pixels


def _check(path: Path, header: Header) -> None:
    """Alpha is refused, not dropped: what a network would learn of the colour under it is nobody's intention."""
    if header.pixel_type not in _BITS or header.channels != 3 or header.alpha:
        alpha = " and alpha" if header.alpha else ""
        raise DataError(
            f"{path}: {header.pixel_type} with {header.channels} channels{alpha}; expected RGB of 8 or 16 bits"
            f"{', without alpha' if alpha else ''}"
        )


def _deepened(image: Image) -> NDArray[np.uint16]:
    """uint16 of either type, without loss: 255 becomes 65535."""
    return image.astype(np.uint16) * np.uint16(257) if image.dtype == np.uint8 else np.asarray(image, np.uint16)


def _differ(degraded: Path, clean: Path, first: Sequence[int], second: Sequence[int]) -> str:
    return (
        f"{degraded}: {first[1]}x{first[0]} pixels, but {clean.name} has {second[1]}x{second[0]}; "
        "expected a pair of one size"
    )
