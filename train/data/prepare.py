"""What is made of a pair before training: resized, mirrored, cut. Both of a pair are treated alike.

Images are uint8[H,W,3] or uint16[H,W,3].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image as PillowImage

from nafnet.train.data.pairs import Image, Shape
from nafnet.train.recipes.data_tables import PrepareConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """A pair, or what was cut from one."""

    name: str
    degraded: Image
    clean: Image

    def map(self, suffix: str, change: Callable[[Image], Image]) -> Piece:
        """Both images changed, the name with a suffix."""
        return Piece(self.name + suffix, change(self.degraded), change(self.clean))


def prepared(piece: Piece, config: PrepareConfig, *, training: bool) -> list[Piece]:
    """What `config` makes of one pair, in a fixed order; see `PrepareConfig` for the steps."""
    pieces = [piece.map("", lambda image: resized(image, config.resize))] if config.resize else [piece]
    if training and config.flips:
        pieces = [copy for each in pieces for copy in _mirrored(each)]
    if not training and not config.evaluation:
        return pieces
    if config.grid:
        pieces = [part for each in pieces for part in _grid(each, config.grid)]
    if config.piece:
        pieces = [each.map("", lambda image: resized(image, config.piece)) for each in pieces]
    if config.window:
        pieces = [part for each in pieces for part in _windows(each, config.window, config.stride or config.window)]
    return pieces


def prepared_shapes(shape: Shape, config: PrepareConfig, *, training: bool) -> list[Shape]:
    """The shapes of what `prepared` makes of a pair of this shape, without making it."""
    shapes = [dataclasses.replace(shape, height=config.resize, width=config.resize)] if config.resize else [shape]
    if training and config.flips:
        shapes = shapes * 3
    if not training and not config.evaluation:
        return shapes
    if config.grid:
        height, width = (side // config.grid for side in (shapes[0].height, shapes[0].width))
        shapes = [dataclasses.replace(shapes[0], height=height, width=width)] * (len(shapes) * config.grid**2)
    if config.piece:
        shapes = [dataclasses.replace(each, height=config.piece, width=config.piece) for each in shapes]
    if config.window:
        height, width = shapes[0].height, shapes[0].width
        sides = [min(config.window, length) for length in (height, width)]
        starts = [_starts(*pair, config.stride or config.window) for pair in zip((height, width), sides, strict=True)]
        window = dataclasses.replace(shapes[0], height=sides[0], width=sides[1])
        shapes = [window] * (len(shapes) * len(starts[0]) * len(starts[1]))
    return shapes


def resized(image: Image, side: int) -> Image:
    """[side,side,3] of it, of its type, by Pillow's bicubic filter, which averages where it reduces."""
    if image.shape[:2] == (side, side):
        return image
    if image.dtype == np.uint8:
        return np.asarray(PillowImage.fromarray(image).resize((side, side), PillowImage.Resampling.BICUBIC))
    # Pillow knows no RGB of 16 bits; its floats hold them, channel by channel.
    planes = [PillowImage.fromarray(np.asarray(image[..., channel], np.float32)) for channel in range(3)]
    made = np.dstack([np.asarray(plane.resize((side, side), PillowImage.Resampling.BICUBIC)) for plane in planes])
    return np.rint(made.clip(0, 65535)).astype(np.uint16)


def _mirrored(piece: Piece) -> Iterator[Piece]:
    yield piece
    yield piece.map("+lr", lambda image: image[:, ::-1])
    yield piece.map("+ud", lambda image: image[::-1])


def _grid(piece: Piece, count: int) -> Iterator[Piece]:
    height, width = (side // count for side in piece.clean.shape[:2])
    for row in range(count):
        for column in range(count):
            yield _cut(piece, row * height, column * width, height, width)


def _windows(piece: Piece, side: int, stride: int) -> Iterator[Piece]:
    height, width = (min(side, length) for length in piece.clean.shape[:2])
    for top in _starts(piece.clean.shape[0], height, stride):
        for left in _starts(piece.clean.shape[1], width, stride):
            yield _cut(piece, top, left, height, width)


def _starts(length: int, side: int, stride: int) -> list[int]:
    starts = list(range(0, length - side + 1, stride))
    return starts if starts[-1] == length - side else [*starts, length - side]


def _cut(piece: Piece, top: int, left: int, height: int, width: int) -> Piece:
    return piece.map(f"+{left},{top}", lambda image: image[top : top + height, left : left + width])
