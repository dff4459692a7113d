"""A model repository for Triton, as one export after the other leaves it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest

from nafnet.export.attempts.attempt import Exported
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.formats import write_formats
from nafnet.export.formats.target import Target
from tests.export.conftest import Recorded


@dataclasses.dataclass
class Place:
    """Where the tests write to, and what was noted."""

    folder: Path
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def repository(self) -> Path:
        return self.folder / "net"

    @property
    def config(self) -> Path:
        return self.repository / "config.pbtxt"

    def write(self, exported: Exported, **engines: bytes) -> list[Path]:
        """As after the engines that are named were built."""
        target = Target(folder=self.folder, stem="net", engine=EngineSettings(), note=self.notes.append)
        for name, plan in engines.items():
            target.written[name.replace("_", "-")] = self.folder / f"{name}.plan"
            (self.folder / f"{name}.plan").write_bytes(plan)
        self.notes.clear()
        return write_formats(exported, ("triton",), target)

    def versions(self) -> dict[str, set[str]]:
        """The files of each folder."""
        folders = [path for path in self.repository.iterdir() if path.is_dir()]
        return {folder.name: {path.name for path in folder.iterdir()} for folder in folders}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def exported(plain_export: Recorded) -> Exported:
    return plain_export.exported


def another(exported: Exported) -> Exported:
    """Another model with another spec."""
    model = onnx.ModelProto()
    model.CopyFrom(exported.model)
    model.doc_string = "another"
    return dataclasses.replace(exported, model=model, spec=exported.spec.replace(task="another"))


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    """What is different once something was written, folders included."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")]}
