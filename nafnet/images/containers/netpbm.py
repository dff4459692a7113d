"""PBM, PGM and PPM, binary (P4 to P6) and plain (P1 to P3): their headers, and their values a part at a time.

Source: the Netpbm manual (pbm, pgm and ppm formats). A comment, from # to the end of its line, may stand wherever white
space may, and stands for it; Netpbm's own readers allow it among plain values as well.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_COMMENT = rb"#[^\n\r]*[\n\r]"
_APART = rb"(?:\s|" + _COMMENT + rb")"
_HEADER = re.compile(
    rb"P(?:([14])" + 2 * (_APART + rb"+(\d{1,10})") + rb"|([2356])" + 3 * (_APART + rb"+(\d{1,10})") + rb")" + _APART
)
_HEADER_BYTES = 65536
_ANOTHER = re.compile(rb"P[1-6]" + _APART)
_STEP = 65536
"""Bytes of text that are turned into numbers at a time."""
_NUMBERS, _BITS, _TOO_LONG = re.compile(rb"[\s\d]*"), re.compile(rb"[\s01]*"), re.compile(rb"\d{19}")
_MANY_DIGITS = "a number of more than 18 digits"
_WHITE_SPACE, _DIGITS = b" \t\n\r\v\f", b"0123456789"

Values = NDArray[np.integer]


@dataclasses.dataclass(frozen=True)
class Netpbm:
    """What a file's header says."""

    width: int
    height: int
    channels: int
    """1 or 3."""
    largest: int
    """The value of white; 1 in a PBM, where it is the other way round: 1 is black."""
    is_plain: bool
    is_bits: bool
    """Whether it is a PBM."""
    start: int
    """Of the values, in bytes from the start of the file."""

    @property
    def row_values(self) -> int:
        """Values in a row."""
        return self.width * self.channels

    @property
    def row_bytes(self) -> int:
        """Of a binary file."""
        return -(-self.width // 8) if self.is_bits else self.row_values * (2 if self.largest > 255 else 1)

    @property
    def least_bytes(self) -> int:
        """Of the values: in a plain file of numbers each has at least a digit, and white space after it."""
        if not self.is_plain:
            return self.row_bytes * self.height
        return self.row_values * self.height * (1 if self.is_bits else 2) - (not self.is_bits)


def read_netpbm(path: Path) -> Netpbm:
    """Read a header.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or the file holds several pictures.
    """
    with path.open("rb") as file:
        found = _HEADER.match(file.read(_HEADER_BYTES))
        if not found:
            raise ValueError("no width, height and largest value")
        bits, *bit_sides, kind, width, height, largest = found.groups()
        if bits:
            (width, height), largest = bit_sides, b"1"
        number = int(bits or kind)
        made = Netpbm(
            int(width),
            int(height),
            3 if number in (3, 6) else 1,
            int(largest),
            number <= 3,
            number in (1, 4),
            found.end(),
        )
        if min(made.width, made.height) < 1:
            raise ValueError(f"{made.width}x{made.height} pixels")
        if not 1 <= made.largest <= 65535:
            raise ValueError(f"its largest value is {made.largest}; expected 1 to 65535")
        end = made.start + made.least_bytes
        if file.seek(0, 2) < end:
            raise ValueError(f"it is shorter than {made.width}x{made.height} pixels")
        file.seek(end)
        if not made.is_plain and _ANOTHER.match(file.read(3)):
            raise SeveralError
    return made


class SeveralError(ValueError):
    """A file of several pictures, one after another."""


def values(path: Path, header: Netpbm, count: int) -> Iterator[Values]:
    """All values from the top, `count` rows at a time, [n, row_values]; of a PBM 1 is white.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        file.seek(header.start)
        parts = _plain(file, header) if header.is_plain else None
        held: Values = np.zeros(0, np.uint16)
        for start in range(0, header.height, count):
            rows = min(count, header.height - start)
            if parts is None:
                yield _binary(file, header, rows)
                continue
            wanted = rows * header.row_values
            waiting: list[Values] = [held]
            size = len(held)
            while size < wanted:
                waiting.append(next(parts))
                size += len(waiting[-1])
            together = np.concatenate(waiting)
            held = together[wanted:]
            yield together[:wanted].reshape(rows, -1)


def _binary(file: BinaryIO, header: Netpbm, rows: int) -> Values:
    data = file.read(rows * header.row_bytes)
    if len(data) < rows * header.row_bytes:
        raise ValueError("it ends early")
    if header.is_bits:
        return 1 - np.unpackbits(np.frombuffer(data, np.uint8).reshape(rows, -1), axis=1, count=header.width)
    made: Values = np.frombuffer(data, ">u2" if header.largest > 255 else "u1").reshape(rows, -1)
    if made.max() > header.largest:
        raise ValueError(f"a value of {made.max()}; its largest is {header.largest}")
    return made


def _plain(file: BinaryIO, header: Netpbm) -> Iterator[Values]:
    """The values of a plain file, a part at a time; raises ValueError where there are no more."""
    allowed = _BITS if header.is_bits else _NUMBERS
    for text in _without_comments(file, whole_numbers=not header.is_bits):
        good = allowed.match(text)
        assert good, "nothing is matched, too"
        numbers = good[0]
        if header.is_bits:
            bits = np.frombuffer(numbers.translate(None, _WHITE_SPACE), np.uint8)
            yield (ord("1") - bits).astype(np.uint16)
        elif _TOO_LONG.search(numbers):
            raise ValueError(_MANY_DIGITS)
        else:
            found = np.fromstring(numbers, np.int64, sep=" ") if numbers.strip() else np.zeros(0, np.int64)
            if found.size and found.max() > header.largest:
                raise ValueError(f"a value of {found.max()}; its largest is {header.largest}")
            yield found.astype(np.uint16)
        if len(numbers) < len(text):
            raise ValueError(f"{text[len(numbers) :][:8]!r} where a number should be")
    raise ValueError("it ends early")


def _without_comments(file: BinaryIO, *, whole_numbers: bool) -> Iterator[bytes]:
    """The text a part at a time; no number goes over from one part to the next."""
    rest, in_comment = b"", False
    while part := file.read(_STEP):
        if in_comment:
            end = re.search(rb"[\n\r]", part)
            part = part[end.start() :] if end else b""
            in_comment = end is None
        part = re.sub(_COMMENT, b"\n", part)
        text, mark, _ = part.partition(b"#")
        in_comment = in_comment or bool(mark)
        text = rest + text + (b"\n" if mark else b"")
        rest = text[len(text.rstrip(_DIGITS)) :] if whole_numbers else b""
        if _TOO_LONG.match(rest):
            raise ValueError(_MANY_DIGITS)
        yield text[: len(text) - len(rest)]
    yield rest
