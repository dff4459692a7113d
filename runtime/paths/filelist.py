"""Lists of photographs, as `--files-from` takes them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nafnet.errors import UsageError


def read_list(name: str) -> list[Path]:
    """The paths in a file, or on standard input if it is "-": one to a line, or each ended by a NUL.

    A byte-order mark is passed over, and UTF-16 is read, which PowerShell writes.

    Raises:
        UsageError: it cannot be read, or names nothing.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"--files-from {name}: cannot be read ({error.strerror or error})") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", errors="replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf")
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    try:
        paths = [Path(os.fsdecode(entry)) for entry in names if entry.strip()]
    except UnicodeDecodeError as error:  # on Windows, where names of files are text; elsewhere any bytes are one
        raise UsageError(
            f"--files-from {name}: {error.object!r} is not UTF-8; write the list as UTF-8 or UTF-16, as PowerShell does"
        ) from error
    if not paths:
        raise UsageError(f"--files-from {name}: names no file")
    return paths
