"""Encode a photograph that comes in bands of rows; the file is whole or not there.

libvips' encoders ask for rows themselves, so the rows wait until the last has come: in memory, or where they are
many on the disk beside the result.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from nafnet.closing import Closing
from nafnet.errors import ImageError, OutputError
from nafnet.files import Place, whole_file
from nafnet.images.carried import give_to_libvips, write_metadata
from nafnet.images.encoders import animation, jxl
from nafnet.images.formats import DEFAULT_QUALITY, FORMATS, Format
from nafnet.images.header import Header
from nafnet.images.pixels import Rows
from nafnet.images.plain import write_bmp, write_ppm
from nafnet.images.spill import Spill
from nafnet.images.vips import pyvips
from nafnet.system import SYSTEM

# Decoded images of more bytes wait on the disk.
MEMORY_LIMIT = 96 * 2**20
_VIPS_TYPES = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
_COLOURS = {
    **{(1, "uint8"): "b-w", (1, "uint16"): "grey16", (1, "float32"): "b-w"},
    **{(3, "uint8"): "srgb", (3, "uint16"): "rgb16", (3, "float32"): "scrgb"},
}
_OTHERS: dict[Format, Callable[[Path, Header, Iterator[Rows], int], None]] = {
    "ppm": lambda path, header, bands, _: write_ppm(path, header, bands),
    "bmp": lambda path, header, bands, _: write_bmp(path, np.concatenate(list(bands)), header.metadata.density),
    "jxl": lambda path, header, bands, quality: jxl.save(path, header, np.concatenate(list(bands)), quality),
}
"""Formats that libvips does not write: path, header, bands of rows and quality."""
_ANIMATED: tuple[Format, ...] = ("png", "avif")
"""Formats of whose animations libvips writes none."""
_REQUIRED: dict[Format, Callable[[Path], None]] = {"jxl": jxl.require}
"""What a format needs that may not be installed, asked before any work."""


def check_writer(file_format: Format, path: Path) -> None:
    """Raise ImageError where a format needs a library that is not installed; the message names the extra."""
    if file_format in _REQUIRED:
        _REQUIRED[file_format](path)


class ImageWriter(Closing):
    """Writes one file. Use it as a context manager and call `finish`; left without it, nothing is written.

    JPEG without chroma subsampling. TIFF: deflate. WebP and JPEG XL: lossless if the source was. A change of depth
    scales: 255 becomes 65535, and 1.0 where the file holds floats.

    Args:
        path: the file; its folder exists.
        header: of the file to write. Rows come in its `pixel_type`, alpha included.
        quality: 1 to 100, of JPEG, WebP, AVIF and JPEG XL.
        tag: goes into the names of temporary files.
        place: gives the finished file its name; by default it replaces what is there.
        mode: permissions of the file, of which the umask takes some away.

    Raises:
        ImageError: the format needs a library that is not installed; the message names the extra.
    """

    def __init__(
        self, path: Path, header: Header, *, quality: int = DEFAULT_QUALITY, tag: str = "",
        place: Place = SYSTEM.replace, mode: int = 0o666,
    ) -> None:  # fmt: skip
        check_writer(header.format, path)
        self._path, self._header, self._quality, self._tag = path, header, quality, tag
        self._place, self._mode = place, mode
        self._spill = Spill(path, header, tag, mode) if header.row_bytes * header.rows > MEMORY_LIMIT else None
        self._bands: list[Rows] = []
        self._encoded: pyvips.Image | None = None

    def write(self, rows: Rows) -> None:
        """Append rows, [n,W,C].

        Raises:
            OutputError: the disk refused.
        """
        assert rows.shape[1:] == (self._header.width, self._header.bands)
        assert rows.dtype == self._header.pixel_type
        if self._spill is None:
            self._bands.append(rows)
            return
        with self._disk_errors():
            self._spill.write(rows)

    def finish(self) -> None:
        """Encode what was written, and put the file in its place.

        Raises:
            ImageError: the format cannot hold the image.
            OutputError: the disk refused.
        """
        header = self._header
        whole = whole_file(self._path, self._tag, place=self._place, mode=self._mode)
        with self._disk_errors(), whole as temporary:
            if header.timing.frames > 1 and header.format in _ANIMATED:
                animation.save(temporary, header, np.concatenate(list(self._rows())), self._quality)
                return
            if header.format in _OTHERS:
                _OTHERS[header.format](temporary, header, self._rows(), self._quality)
                return
            try:
                self._encoded, keep = give_to_libvips(self._image(), header.format, header.metadata)
                self._save(self._encoded, temporary, keep)
                write_metadata(temporary, header.format, header.metadata)
            except pyvips.Error as error:
                raise self._explained(error) from error
            except (ValueError, struct.error) as error:
                raise ImageError(f"{self._path}: its metadata cannot be written ({error})") from error

    def _rows(self) -> Iterator[Rows]:
        return self._spill.bands() if self._spill else iter(self._bands)

    def _image(self) -> pyvips.Image:
        """The rows as libvips sees them."""
        header = self._header
        colour = _COLOURS[header.channels, header.pixel_type]
        if self._spill:
            image = self._spill.image(_VIPS_TYPES[header.pixel_type], colour)
        else:
            pixels = self._bands[0] if len(self._bands) == 1 else np.concatenate(self._bands)
            image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels), interpretation=colour)
        if header.timing.is_animation:
            image = image.copy()
            image.set_type(pyvips.GValue.array_int_type, "delay", list(header.timing.delays))
            image.set_type(pyvips.GValue.gint_type, "loop", header.timing.loops)
        return image

    def _save(self, image: pyvips.Image, temporary: Path, keep: str) -> None:
        header, path = self._header, str(temporary)
        several = {"page_height": header.height} if header.timing.frames > 1 else {}
        if header.format == "png":
            image.pngsave(path, keep=keep, compression=6)
        elif header.format == "jpeg":
            image.jpegsave(path, keep=keep, Q=self._quality, subsample_mode="off")
        elif header.format == "tiff":
            predictor = "none" if header.pixel_type == "float32" else "horizontal"
            large = header.row_bytes * header.rows > 2**31
            image.tiffsave(path, keep=keep, compression="deflate", predictor=predictor, bigtiff=large, **several)
        elif header.format == "webp":
            image.webpsave(path, keep=keep, Q=self._quality, lossless=header.lossless, exact=True, **several)
        elif header.format == "avif":
            bits = 8 if header.pixel_type == "uint8" else min(header.bits, 12)
            image.heifsave(path, keep=keep, compression="av1", Q=self._quality, bitdepth=bits, subsample_mode="off")
        else:
            raise AssertionError(f"{header.format}: no encoder is called for it")

    def _explained(self, error: pyvips.Error) -> ImageError | OutputError:
        """libvips' words; whether the disk is full it says only in them."""
        words = " ".join(str(error.detail or error.message).split())
        if not self._path.parent.is_dir():
            return OutputError(f"{self._path.parent}: the folder is gone; the run cannot go on")
        for reason in SYSTEM.full_disk_words:
            if reason.lower() in words.lower():
                return OutputError(f"{self._path}: {reason}; mend it and run the same command again: it goes on")
        return ImageError(f"{self._path}: cannot be written ({words})")

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._path.parent.is_dir():
                raise OutputError(f"{self._path.parent}: the folder is gone; the run cannot go on") from error
            reason = error.strerror or str(error)
            if error.errno in SYSTEM.full_disk:
                raise OutputError(f"{self._path}: {reason}; mend it and run the same command again") from error
            raise ImageError(f"{self._path}: cannot be written ({reason})") from error

    def cancel(self) -> None:
        """From another thread: `finish` is to fail soon. Encoders that take an image as a whole, as AVIF's, do not."""
        if self._encoded is not None:
            self._encoded.set_kill(True)

    def close(self) -> None:
        """Let go of the rows; what was not finished is not written."""
        self._bands, self._encoded = [], None
        if self._spill:
            self._spill.remove()


def check_quality(quality: int, header: Header) -> None:
    """Raise ImageError where a quality was asked for that the format does not have."""
    if not FORMATS[header.format].has_quality:
        raise ImageError(f"--quality {quality}: {header.format} has no quality; leave it out or choose a --format")
