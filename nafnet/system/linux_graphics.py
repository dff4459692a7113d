"""The graphics adapters that Linux drives, by the numbers of their makers."""

from __future__ import annotations

import re
from pathlib import Path

from nafnet.system.interface import Adapter
from nafnet.system.linux_memory import lines

_MAKERS = {"0x10de": "NVIDIA", "0x8086": "Intel", "0x1002": "AMD"}


def adapters(root: Path = Path("/")) -> tuple[Adapter, ...]:
    """See Linux's documents: gpu/drm-uapi; a card's device is one of a bus, whose driver is a module.

    Args:
        root: of the file system; another one in tests.
    """
    cards = [path for path in sorted((root / "sys/class/drm").glob("card*")) if re.fullmatch(r"card\d+", path.name)]
    return tuple(_adapter(card / "device", root) for card in cards)


def _adapter(device: Path, root: Path) -> Adapter:
    maker, model = (_first(device / name) for name in ("vendor", "device"))
    told = dict(line.split("=", 1) for line in lines(device / "uevent") if "=" in line)
    driver = told.get("DRIVER", "")
    version = _first(root / "sys/module" / driver / "version") if driver else ""
    name = " ".join(filter(None, (_MAKERS.get(maker, maker), model))) or told.get("OF_COMPATIBLE_0", "unknown")
    return Adapter(name=name, driver=f"{driver} {version}".strip())


def _first(path: Path) -> str:
    return next(iter(lines(path)), "").strip()
