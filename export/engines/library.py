"""TensorRT's modules, imported: what is not installed is told apart from what is there and does not load."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from nafnet.errors import EngineError, MissingExtraError


def imported(flavour: str, modules: Sequence[str]) -> Any:
    """The first of these modules that can be imported.

    Args:
        flavour: the format, and the extra that brings the library.
        modules: names of the one library.

    Raises:
        MissingExtraError: none is installed.
        EngineError: one is there and cannot be loaded; the message has its own words.
    """
    reasons: list[str] = []
    for name in modules:
        try:
            return importlib.import_module(name)
        except Exception as error:  # of a library of the system's that is missing each raises another kind
            if not (isinstance(error, ModuleNotFoundError) and error.name == name):
                reasons.append(f"{name}: {error}")
    if reasons:
        raise EngineError(f"--format {flavour}: its library is installed and does not load ({'; '.join(reasons)})")
    raise MissingExtraError(f"--format {flavour}: {flavour}", flavour)
