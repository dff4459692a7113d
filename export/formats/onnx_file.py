"""One self-contained ONNX file with its spec inside."""

from __future__ import annotations

from pathlib import Path

from nafnet.export.attempts.attempt import Exported
from nafnet.export.formats.target import Target
from nafnet.files import write_whole


def write(exported: Exported, target: Target) -> list[Path]:
    """DIR/STEM.onnx."""
    path = target.folder / f"{target.stem}.onnx"
    write_whole(path, exported.model.SerializeToString())
    return [path]
