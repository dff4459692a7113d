"""Photographs to photographs: restore arrays with `Restorer`, folders with the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nafnet.runtime.engine.restorer import Restorer

__all__ = ["Restorer"]


def __getattr__(name: str) -> Any:
    """Import `Restorer` when it is first asked for, so that `nafnet-run --help` does not wait for it."""
    if name == "Restorer":
        from nafnet.runtime.engine.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
