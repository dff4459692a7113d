"""What every decoder gives: a header, and rows from top to bottom.

Shapes: n rows, W width, C values of a pixel, alpha included and last.
"""

from __future__ import annotations

import abc
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nafnet.errors import ImageError
from nafnet.images.header import Header
from nafnet.images.pixels import Rows

_LACKING = re.compile(r"unsupported|not supported|not implemented|not configured", re.IGNORECASE)


class ImageReader(abc.ABC):
    """Reads one file; see `nafnet.images.reader.open_image`."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path, header
        self.damage = ""
        """What is wrong with a file that was decoded all the same, in words; known when all rows are read."""

    @abc.abstractmethod
    def rows(self, count: int) -> Iterator[Rows]:
        """All rows from the top, `count` at a time, [n,W,C]; the last have fewer.

        Raises:
            ImageError: the file is damaged; a truncated file is never half read.
        """


class WholeReader(ImageReader):
    """Of a decoder that knows no rows: the picture is decoded as a whole when the first is asked for.

    Args:
        path: of the file.
        header: of the picture.
        decode: gives all rows, [H,W,C] in the header's type; raises ImageError where the file is damaged.
    """

    def __init__(self, path: Path, header: Header, decode: Callable[[], Rows]) -> None:
        super().__init__(path, header)
        self._decode = decode

    def rows(self, count: int) -> Iterator[Rows]:
        header, pixels = self.header, self._decode()
        if pixels.shape != (header.rows, header.width, header.bands) or pixels.dtype != header.pixel_type:
            raise ImageError(f"{self.path}: damaged {header.format.upper()} (its pixels are not what its header says)")
        for start in range(0, header.rows, count):
            yield pixels[start : start + count]


def refuse_large(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError where a picture has more pixels than may be decoded."""
    if width * height > max_pixels:
        raise ImageError(f"{path}: {width}x{height} pixels; at most {max_pixels / 1e6:g} megapixels")


def not_decoded(path: Path, called: str, words: str) -> ImageError:
    """The error for a file that a decoder gave up: damaged, or by the decoder's words whole and of a kind it lacks.

    Args:
        path: of the file.
        called: its format, as users call it.
        words: the decoder's, on one line.
    """
    if _LACKING.search(words):
        return ImageError(f"{path}: a {called} of a kind that its decoder does not read ({words}); convert it first")
    return ImageError(f"{path}: damaged {called} ({words})")


def library(name: str, kind: str, *, extra: str, path: Path) -> Any:
    """A decoder's module.

    Args:
        name: to import it by.
        kind: of the file, as users call it.
        extra: that installs it.
        path: of the file that needs it.

    Raises:
        ImageError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.replace("_", "-")
        raise ImageError(
            f"{path}: {kind} needs {package} ({error}): pip install 'nafnet-toolchain[{extra}]'"
        ) from error
