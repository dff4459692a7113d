"""Libraries that are not right, found in the place of the real ones by the processes that the doctor starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

PutLibrary = Callable[[str, str], None]


@pytest.fixture
def put_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PutLibrary:
    """Put a module, by its name and source, before those that are installed."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))

    def put(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source, encoding="utf-8")

    return put
