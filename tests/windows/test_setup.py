"""How a Windows is set up, as far as it takes no Wine."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from tests.platforms import posix_alone
from tests.windows import libraries, shims, wine
from tests.windows.libraries import needs

METADATA = """Metadata-Version: 2.1
Name: thing
Version: 1.0
Requires-Dist: always>=2
Requires-Dist: here; sys_platform == "win32"
Requires-Dist: elsewhere; platform_system == "Linux"
Requires-Dist: older; python_version < "3.12"
Requires-Dist: asked[part]; extra == "more"
Requires-Dist: asked-elsewhere; extra == "more" and sys_platform == "linux"
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A library that asks for others."""
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("thing-1.0.dist-info/METADATA", METADATA)
        packed.writestr(
            "thing-1.0.dist-info/entry_points.txt", "[console_scripts]\nthing = thing.cli:main\n[x]\ny = z\n"
        )
        packed.writestr("thing-1.0.data/data/Scripts/msvcp140.dll", b"library")
        packed.writestr("thing.py", "")
    return path


def test_what_is_needed_is_asked_for_windows(wheel: Path) -> None:
    assert [str(each) for each in needs(wheel)] == ["always>=2", 'here; sys_platform == "win32"']
    assert [(each.name, each.extras) for each in needs(wheel, "more")] == [
        ("here", set()), ("asked", {"part"})
    ]  # fmt: skip


def test_a_wheel_is_laid_as_pip_lays_it(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    libraries.lay([wheel], home, b"launcher")
    assert (home / "Lib" / "site-packages" / "thing.py").exists()
    assert (home / "msvcp140.dll").read_bytes() == b"library"
    assert [path.name for path in home.glob("*.exe")] == ["thing.exe"]
    started = (home / "thing.exe").read_bytes()
    assert started.startswith(b"launcher#!C:/python/python.exe\r\n")
    with zipfile.ZipFile(home / "thing.exe") as packed:
        assert b"from thing.cli import main" in packed.read("__main__.py")


def test_a_forwarder_exports_what_it_forwards() -> None:
    """Read by the layout of PE files: its one section holds the directory of exports."""
    library = shims.forwarder("one.dll", {"Give": "two.Take"})
    assert library[:2] == b"MZ"
    (head,) = struct.unpack_from("<I", library, 0x3C)
    assert library[head : head + 6] == b"PE\0\0\x64\x86"
    start, _ = struct.unpack_from("<II", library, head + 24 + 112)
    table = library[0x200:]
    functions, names = struct.unpack_from("<II", table, 28)
    for place, text in ((functions, b"two.Take"), (names, b"Give")):
        (at,) = struct.unpack_from("<I", table, place - start)
        assert table[at - start :].partition(b"\0")[0] == text


@posix_alone
def test_where_there_can_be_no_wine_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wine, "_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(wine.NoWineError, match="no apt-get to install it: install Wine 8"):
        wine.find_wine(tmp_path)
    (tmp_path / "apt-get").write_text("#!/bin/false\n", encoding="ascii")
    (tmp_path / "apt-get").chmod(0o700)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(wine.NoWineError, match=r"sudo apt-get install .*wine64 wine"):
        wine.find_wine(tmp_path)
