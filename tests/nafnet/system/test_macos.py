"""macOS by stand-ins: a `resource` and a `fcntl` that answer as Darwin's do, in real processes of this system."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

macos = pytest.importorskip("nafnet.system.macos", reason="it stands on what POSIX has")

F_FULLFSYNC = 51


class Darwin:
    """Of `fcntl`: flushes for true where the file system can, and knows no other command."""

    F_FULLFSYNC = F_FULLFSYNC

    def __init__(self, refusal: int = 0) -> None:
        self.flushed: list[int] = []
        self._refusal = refusal

    def fcntl(self, descriptor: int, command: int) -> int:
        if command != F_FULLFSYNC:
            raise OSError(errno.EINVAL, "Invalid argument")
        if self._refusal:
            raise OSError(self._refusal, "refused")
        self.flushed.append(descriptor)
        return 0


def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that reach fsync."""
    seen: list[int] = []
    monkeypatch.setattr("os.fsync", seen.append)
    return seen


def test_a_file_is_flushed_to_the_drive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    darwin, plain = Darwin(), synced(monkeypatch)
    monkeypatch.setattr(macos, "fcntl", darwin)
    with (tmp_path / "file").open("wb") as file:
        macos.MacOS().sync(file)
        assert darwin.flushed == [file.fileno()]
    assert plain == []


def test_a_share_that_cannot_is_flushed_as_far_as_it_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = synced(monkeypatch)
    monkeypatch.setattr(macos, "fcntl", Darwin(errno.ENOTSUP))
    with (tmp_path / "file").open("wb") as file:
        macos.MacOS().sync(file)
        assert plain == [file.fileno()]


def test_a_full_disk_is_no_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(macos, "fcntl", Darwin(errno.EIO))
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="refused"):
        macos.MacOS().sync(file)


def test_the_peak_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_who: int) -> Any:
        return SimpleNamespace(ru_maxrss=123_456_789)

    stand_in = SimpleNamespace(RUSAGE_SELF=macos.resource.RUSAGE_SELF, getrusage=usage)
    monkeypatch.setattr(macos, "resource", stand_in)
    assert macos.MacOS().peak_resident() == 123_456_789


LIMITED = """
import resource, sys, time
def refused(*_):
    raise ValueError("current limit exceeds maximum limit")
resource.setrlimit = refused  # as Darwin's does for RLIMIT_AS
from nafnet.system.macos import MacOS
import psutil
limit = psutil.Process().memory_info().rss + 200 * 2**20
assert MacOS().limit_memory(limit) == limit
held = bytearray(b"x" * (100 * 2**20))
print("within", flush=True)
held += bytearray(b"x" * (300 * 2**20))
time.sleep(600)
"""


def test_a_process_that_takes_too_much_ends_itself() -> None:
    """And in words that its parent knows for those of memory."""
    from nafnet.runtime.folder.causes import of_death, too_little

    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.split() == ["within"]
    assert done.returncode == 1
    assert of_death(done.stderr, 2**30) == too_little(2**30)


def test_whole_images_are_asked_for_memory() -> None:
    """As on every system: what is available is known, so that not everything fits."""
    available = macos.MacOS().available_memory()
    assert available is not None
    assert available > 0
