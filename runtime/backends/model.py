"""A model as a backend takes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.files import file_sha256
from nafnet.parity import Precision
from nafnet.spec import ModelSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model ready for a backend."""

    path: Path
    """An ONNX file, a checkpoint or a plan, as the backend reads."""
    spec: ModelSpec
    source: Path | None = None
    """The file that the user named, where `path` was made of it."""

    @property
    def name(self) -> str:
        """Of the file that the user named."""
        return (self.source or self.path).name

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return file_sha256(self.path)


def precision_of(path: Path) -> Precision:
    """What an ONNX file is in."""
    from nafnet.onnxfile import inspect_onnx  # its library is an extra, and the list of backends is for all

    return inspect_onnx(path).precision


def flavour_of(path: Path) -> str | None:
    """The library that a plan was built for."""
    from nafnet.planfile import inspect_plan

    engine = inspect_plan(path).engine
    return engine.flavour if engine else None
