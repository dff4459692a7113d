"""What tests need that not every operating system has, and how they say so: nothing is left out in silence."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest

WINDOWS = sys.platform == "win32"
ON_WINE = "NAFNET_ON_WINE" in os.environ
"""Windows' Python, and a Windows with gaps; `tests.windows` says so."""


def _can_link() -> bool:
    """On Windows a right of its own, without which a symbolic link is refused."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError):
        link = Path(folder, "link")
        link.symlink_to("nowhere")
        return link.is_symlink()
    return False


def _keeps_bytes() -> bool:
    """Whether a name of a file can be other than text in UTF-8."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError, UnicodeError):
        name = os.fsencode(folder) + b"/\xe9"
        Path(os.fsdecode(name)).touch()
        return b"\xe9" in os.listdir(os.fsencode(folder))
    return False


needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
posix_alone = pytest.mark.skipif(WINDOWS, reason="what it looks at is not there on Windows")
signals = pytest.mark.skipif(WINDOWS, reason="Windows has no signals: a process is asked to end by its console alone")
HAVE_LINKS, HAVE_PIPES, HAVE_BYTES = _can_link(), hasattr(os, "mkfifo"), _keeps_bytes()
links = pytest.mark.skipif(not HAVE_LINKS, reason="no symbolic link can be made or seen here")
pipes = pytest.mark.skipif(not HAVE_PIPES, reason="pipes have no names in folders here")
permissions = pytest.mark.skipif(WINDOWS, reason="files have no permissions of POSIX here")
names_of_bytes = pytest.mark.skipif(not HAVE_BYTES, reason="names of files are text here")
odd_names = pytest.mark.skipif(WINDOWS, reason="Windows takes no such names: control characters, quotes, a colon")
folding = pytest.mark.skipif(WINDOWS, reason="the disk that is played here is Windows' own")
moving_open = pytest.mark.skipif(WINDOWS, reason="a folder with open files is not renamed here")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked here")
enforced_memory = pytest.mark.skipif(ON_WINE, reason="Wine accepts limits of memory and does not enforce them")
full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


def slashed(path: Path) -> str:
    """A path as tests write it: with slashes, whatever the system has."""
    return path.as_posix()


def with_slashes(said: bytes) -> bytes:
    """What a command printed, with the paths in it as tests write them."""
    return said.replace(b"\\", b"/") if WINDOWS else said
