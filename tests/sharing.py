"""What is dear to make is made once, whichever worker of pytest-xdist needs it first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from filelock import FileLock


class Once:
    """A folder of all workers of one run, whose entries are made once.

    Args:
        factory: pytest's.
    """

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self.folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
        self.folder.mkdir(exist_ok=True)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The same, in a process that a worker started, by the folder of the worker's."""
        once = cls.__new__(cls)
        once.folder = folder
        return once

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file or folder of this name, which `make` writes to the path it is given; the others wait for it."""
        path = self.folder / name
        with FileLock(self.folder / f"{name}.lock"):
            if not path.exists():
                aside = path.with_name(f"{name}.partial")
                make(aside)
                aside.rename(path)
        return path
