"""What the tests of every decoder ask of damaged files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nafnet.errors import ImageError
from nafnet.images.file import read_image


def refused(path: Path, contents: Iterable[bytes]) -> int:
    """How many of such files are refused, each in one line; another error is the test's failure."""
    count = 0
    for content in contents:
        path.write_bytes(content)
        try:
            read_image(path)
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017, most are refused, and no other error comes
            count += 1
    return count
