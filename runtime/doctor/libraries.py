"""The libraries that the project and each of its extras name, and the versions that are installed."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator

from nafnet.system.nvidia import installed_version

PROJECT = "nafnet-toolchain"
BASE = "base"
_REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w.-]+)[\"']")


def libraries() -> dict[str, dict[str, str | None]]:
    """By extra, of which the first is what is always installed: library to version, None where it is not there.

    A library that the extra names for other systems alone is among them.
    """
    extras = importlib.metadata.metadata(PROJECT).get_all("Provides-Extra") or []
    return {
        extra or BASE: {name: installed_version(name) for name in dict.fromkeys(_named(PROJECT, extra))}
        for extra in ("", *extras)
    }


def _named(distribution: str, extra: str) -> Iterator[str]:
    """What a distribution needs for an extra, or without any; extras that these name in their turn are followed."""
    try:
        wanted = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in wanted:
        found = _REQUIREMENT.match(line)
        marker = _EXTRA.search(found[3] or "") if found else None
        if found is None or (marker[1] if marker else "") != extra:
            continue
        if found[1] != PROJECT:
            yield found[1]
        for more in filter(None, (part.strip() for part in (found[2] or "").split(","))):
            yield from _named(found[1], more)
