"""`--compare`: the original and the restored photograph side by side, as one JPEG."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nafnet.closing import Closing
from nafnet.errors import ImageError
from nafnet.files import Place
from nafnet.images.formats import FORMATS
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import Metadata
from nafnet.images.pixels import Rows
from nafnet.images.shown import Shown
from nafnet.images.writer import ImageWriter

QUALITY = 92
NOT_COMPARED = "not compared"
TOO_WIDE = "too large to be compared side by side"


class Comparison(Closing):
    """Writes one comparison from bands of rows. Call `finish`; closed without it, nothing is written.

    Args:
        path: of the JPEG; its folder exists.
        header: of the original.
        result: of the restored file; it may have more channels, which are left out.
        tag: goes into the names of temporary files.
        place: gives the finished file its name.
        mode: permissions of the file, of which the umask takes some away.
    """

    def __init__(self, path: Path, header: Header, result: Header, tag: str, *, place: Place, mode: int) -> None:
        self._original = Shown.of(header)
        self._restored = dataclasses.replace(self._original, given=result.space)
        both = Header(
            width=2 * header.width, height=header.rows, format="jpeg", channels=header.channels, alpha=False,
            pixel_type="uint8", bits=8, lossless=False,
            metadata=Metadata(icc=self._original.icc),
        )  # fmt: skip
        self._writer = ImageWriter(path, both, quality=QUALITY, tag=tag, place=place, mode=mode)

    @staticmethod
    def fits(header: Header) -> bool:
        """Whether a JPEG is large enough for two of it, and all its frames one below the other."""
        return max(2 * header.width, header.rows) <= FORMATS["jpeg"].max_side

    def write(self, original: Rows, restored: Rows) -> None:
        """Append rows, [n,W,C] each, C at least the original's channels; what is beyond these is left out."""
        self._writer.write(np.concatenate([self._original.rows(original), self._restored.rows(restored)], axis=1))

    def finish(self) -> None:
        """Encode it and give it its name."""
        self._writer.finish()

    def close(self) -> None:
        """Drop what was not finished."""
        self._writer.close()


def compare_files(original: Iterator[Header | Rows], restored: Iterator[Header | Rows], comparison: Comparison) -> None:
    """Write the comparison of a file that was restored before, and that `Comparison.fits`.

    Args:
        original: its rows from the top, as `Decoder.decode` gives them after the header.
        restored: those of the result, of the same size, likewise.
        comparison: is finished.

    Raises:
        ImageError: one of the two cannot be read, or they differ in height.
        OutputError: the disk refused.
    """
    left, right = _next(original), _next(restored)
    while len(left) and len(right):
        count = min(len(left), len(right))
        comparison.write(left[:count], right[:count])
        left, right = left[count:], right[count:]
        left = left if len(left) else _next(original)
        right = right if len(right) else _next(restored)
    if len(left) or len(right):
        raise ImageError("the original and its result differ in height")
    comparison.finish()


def _next(rows: Iterator[Header | Rows]) -> Rows:
    """The next band; an empty one at the end."""
    band = next(rows, None)
    assert not isinstance(band, Header)
    return np.empty((0, 0, 0), np.uint8) if band is None else band
