"""Graphics adapters as each system lists them; those of Linux and macOS are laid out for the test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nafnet.system import SYSTEM
from nafnet.system.interface import Adapter
from nafnet.system.linux_graphics import adapters

CARDS = {
    "class/drm/card1/device/vendor": "0x1002\n", "class/drm/card1/device/device": "0x744c\n",
    "class/drm/card1/device/uevent": "DRIVER=amdgpu\nPCI_ID=1002:744C\n", "module/amdgpu/version": "6.10.5\n",
    "class/drm/card0/device/vendor": "0x8086\n", "class/drm/card0/device/device": "0x56a0\n",
    "class/drm/card0/device/uevent": "DRIVER=i915\n",
    "class/drm/card2/device/uevent": "DRIVER=panfrost\nOF_COMPATIBLE_0=rockchip,mali\n",
    "class/drm/card0-HDMI-A-1/status": "connected\n", "class/drm/renderD128/device/vendor": "0x8086\n",
}  # fmt: skip


def test_linux(tmp_path: Path) -> None:
    """Of a card with its number and driver; connectors and render nodes are no cards of their own."""
    assert adapters(tmp_path) == ()
    for name, text in CARDS.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    assert adapters(tmp_path) == (
        Adapter(name="Intel 0x56a0", driver="i915"),
        Adapter(name="AMD 0x744c", driver="amdgpu 6.10.5"),
        Adapter(name="rockchip,mali", driver="panfrost"),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="macOS is played by a program of POSIX")
def test_macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what its tool prints, whose place a script takes; one that fails is no error."""
    from nafnet.system import macos

    program = tmp_path / "system_profiler"
    monkeypatch.setattr(macos, "_PROFILER", str(program))
    assert macos.MacOS().adapters() == ()
    told = json.dumps({"SPDisplaysDataType": [{"_name": "kHW", "sppci_model": "Apple M3 Pro"}]})
    program.write_text(f"#!/bin/sh\n[ \"$*\" = '-json SPDisplaysDataType' ] && echo '{told}'\n", encoding="ascii")
    program.chmod(0o755)
    assert macos.MacOS().adapters() == (Adapter(name="Apple M3 Pro", driver=""),)


def test_the_system_at_hand() -> None:
    assert all(isinstance(each, Adapter) and each.name for each in SYSTEM.adapters())
    assert SYSTEM.release
