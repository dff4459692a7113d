"""The part of a picture that is shown of it, pixel by pixel: the one that the model changed most.

Scaled down, noise and blur could not be seen. Files are read in bands, in the process that decodes, so what is large or
damaged is nobody's concern here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import NafnetError
from nafnet.images.colour.space import SRGB_SPACE
from nafnet.images.header import Header
from nafnet.images.shown import Shown
from nafnet.runtime.folder.decoding import Decoder

LARGEST_WIDTH, LARGEST_HEIGHT = 480, 360
"""Of what is shown of a picture."""
BLOCK = 32
"""Side of the squares that changes are summed over."""
_BAND = 8 * BLOCK
Pixels = NDArray[np.uint8]


def most_changed(before: Path, after: Path, decoder: Decoder) -> tuple[int, int]:
    """Left and top of the part of up to `LARGEST_WIDTH` x `LARGEST_HEIGHT` whose pixels changed most.

    Raises:
        ImageError: one cannot be read.
        NafnetError: they differ in size.
    """
    headers = [decoder.header(path) for path in (before, after)]
    sizes = [(header.width, header.rows) for header in headers]
    if sizes[0] != sizes[1]:
        raise NafnetError(
            f"{before}: {sizes[0][0]}x{sizes[0][1]} pixels, and its result has {sizes[1][0]}x{sizes[1][1]}"
        )
    (width, height), _ = sizes
    if width <= LARGEST_WIDTH and height <= LARGEST_HEIGHT:
        return 0, 0
    with Decoder(decoder.limits) as other:  # the two are read side by side
        bands = zip(_eight_bits(before, decoder), _eight_bits(after, other), strict=True)
        changes = np.concatenate([_block_means(np.abs(a.astype(np.int16) - b).mean(2)) for a, b in bands])
    # Sums over windows of blocks, from sums over all blocks above and to the left.
    window = [
        min(side // BLOCK, have) for side, have in zip((LARGEST_HEIGHT, LARGEST_WIDTH), changes.shape, strict=True)
    ]
    sums = np.pad(changes.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    y, x = window
    found = sums[y:, x:] - sums[:-y, x:] - sums[y:, :-x] + sums[:-y, :-x]
    top, left = np.unravel_index(np.argmax(found), found.shape)
    return (
        min(int(left) * BLOCK, max(width - LARGEST_WIDTH, 0)), min(int(top) * BLOCK, max(height - LARGEST_HEIGHT, 0))
    )  # fmt: skip


def _block_means(band: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """[n,W] as means of BLOCK x BLOCK; blocks at the right and below may be smaller."""
    starts = [np.arange(0, side, BLOCK) for side in band.shape]
    sums = np.add.reduceat(np.add.reduceat(band, starts[0], 0), starts[1], 1)
    counts = [np.diff(np.append(each, side)) for each, side in zip(starts, band.shape, strict=True)]
    means: NDArray[np.floating[Any]] = sums / np.outer(*counts)
    return means


def cut_out(path: Path, left: int, top: int, decoder: Decoder, shown: Shown | None = None) -> Pixels:
    """uint8[H,W,C] of the part that is shown.

    Args:
        path: of the picture.
        left, top: of the part, see `most_changed`.
        decoder: reads it.
        shown: how; by default in colours, C 3, in those of the picture itself.
    """
    rows, start = [], 0
    for band in _eight_bits(path, decoder, shown):
        rows.append(band[max(top - start, 0) : max(top + LARGEST_HEIGHT - start, 0), left : left + LARGEST_WIDTH])
        start += len(band)
    return np.concatenate(rows)


def _eight_bits(path: Path, decoder: Decoder, shown: Shown | None = None) -> Iterator[Pixels]:
    """Bands of uint8[_BAND,W,C] from the top, the last with fewer rows, without alpha; see `cut_out`."""
    parts = decoder.decode(path)
    header = next(parts)
    assert isinstance(header, Header)
    held: list[Pixels] = []
    how = shown or Shown.of(header)
    if not shown and header.channels == 1:  # shown as colours, to which a profile of grey does not apply
        how = dataclasses.replace(how, wanted=SRGB_SPACE)
    for rows in parts:
        assert not isinstance(rows, Header)
        pixels = how.rows(rows)
        held.append(pixels if shown else np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        together = np.concatenate(held) if len(held) > 1 else held[0]
        whole = len(together) // _BAND * _BAND
        yield from np.split(together[:whole], whole // _BAND) if whole else ()
        held = [together[whole:]]
    if len(held[0]):
        yield held[0]
