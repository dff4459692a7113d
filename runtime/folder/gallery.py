"""`--html`: a page of what a run did, each picture before and after under a slider.

Of a large picture the part that changed most is shown, pixel by pixel; scaled down, noise and blur could not be seen.
Files are read in bands, twice, in the process that decodes, so what is large or damaged is none of the page's concern.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import NafnetError
from nafnet.files import Place, write_whole
from nafnet.images.header import Header
from nafnet.images.shown import Shown
from nafnet.page import picture_uri, render
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Limits

LARGEST_WIDTH, LARGEST_HEIGHT = 480, 360
"""Of what is shown of a picture."""
MOST_PICTURES = 40
"""A page of more would be too large to open."""
BLOCK = 32
"""Side of the squares that changes are summed over."""
_BAND = 8 * BLOCK
Pixels = NDArray[np.uint8]


def write_gallery(
    path: Path, rows: Sequence[FileReport], *, opening: str, summary: str, limits: Limits | None,
    place: Place = os.replace,
) -> None:  # fmt: skip
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        rows: of all files.
        opening, summary: what the run printed before and after.
        limits: what one picture that is opened may take; None shows none, as the run was cut short.
        place: gives the page its name; see `nafnet.files.whole_file`.
    """
    done = [row for row in rows if row.status in ("restored", "unchanged")]
    shown: list[dict[str, Any]] = []
    stop = None
    try:
        if limits:
            _show(done[:MOST_PICTURES], limits, shown)
    except KeyboardInterrupt as interrupt:  # the page is written without the rest, and then it goes on its way
        stop = interrupt
    html = render(
        "nafnet.runtime.folder", "gallery.html", shown=shown, left_out=len(done) - len(shown), opening=opening,
        summary=summary, failed=[row for row in rows if row.status == "failed"], cut_short=stop or not limits,
    )  # fmt: skip
    write_whole(path, html.encode(errors="replace"), place=place)
    if stop:
        raise stop


def _show(rows: Sequence[FileReport], limits: Limits, shown: list[dict[str, Any]]) -> None:
    with Decoder(limits) as decoder:
        for row in rows:
            try:
                shown.append(_entry(row, decoder))
            except NafnetError as error:  # it was changed or taken away since
                shown.append({"row": row, "picture": None, "reason": str(error)})


def _entry(row: FileReport, decoder: Decoder) -> dict[str, Any]:
    before, after = Path(row.input), Path(row.output)
    left, top = most_changed(before, after, decoder)
    cut = [_cut(file, left, top, decoder) for file in (before, after)]
    height, width = cut[0].shape[:2]
    uris = [picture_uri(part, _profile(file, decoder)) for part, file in zip(cut, (before, after), strict=True)]
    return {
        "row": row, "before": uris[0], "after": uris[1], "width": width, "height": height,
        "whole": (width, height) == (row.width, row.height * row.frames), "picture": True,
    }  # fmt: skip


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


def _cut(path: Path, left: int, top: int, decoder: Decoder) -> Pixels:
    """uint8[H,W,3] of the part that is shown."""
    rows, start = [], 0
    for band in _eight_bits(path, decoder):
        rows.append(band[max(top - start, 0) : max(top + LARGEST_HEIGHT - start, 0), left : left + LARGEST_WIDTH])
        start += len(band)
    return np.concatenate(rows)


def _profile(path: Path, decoder: Decoder) -> bytes:
    """That of its colours; a picture of grey is shown as one of colours, to which its own does not apply."""
    header = decoder.header(path)
    return Shown.of(header).icc if header.channels == 3 else b""


def _eight_bits(path: Path, decoder: Decoder) -> Iterator[Pixels]:
    """Bands of uint8[_BAND,W,3] from the top, the last with fewer rows, without alpha."""
    parts = decoder.decode(path)
    header = next(parts)
    assert isinstance(header, Header)
    held: list[Pixels] = []
    shown = Shown.of(header)
    for rows in parts:
        assert not isinstance(rows, Header)
        pixels = shown.rows(rows)
        held.append(np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if header.channels == 1 else pixels)
        together = np.concatenate(held) if len(held) > 1 else held[0]
        whole = len(together) // _BAND * _BAND
        yield from np.split(together[:whole], whole // _BAND) if whole else ()
        held = [together[whole:]]
    if len(held[0]):
        yield held[0]
