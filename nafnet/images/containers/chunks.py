"""Containers that are a row of chunks, each with a name and a size in front of its content."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

_HEAD = 8
Parse = Callable[[bytes], tuple[bytes, int, int]]
"""From a chunk's first 8 bytes its name, the bytes of its content, and those until the next chunk."""


def chunks(file: BinaryIO, at: int, parse: Parse) -> Iterator[tuple[bytes, int, int]]:
    """Name, bytes of content and position of each chunk from a position on, with the file at the content.

    A damaged one ends them.
    """
    while True:
        file.seek(at)
        head = file.read(_HEAD)
        if len(head) < _HEAD:
            return
        name, size, rest = parse(head)
        yield name, size, at
        at += _HEAD + rest
