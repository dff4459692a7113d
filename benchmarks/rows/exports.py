"""The exports that the bench compares, each made when a row needs it and once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from nafnet.checkpoint import Checkpoint
from nafnet.errors import ModelError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.exporter import export
from nafnet.export.formats import write_formats
from nafnet.export.formats.target import Target
from nafnet.export.network.graph import to_onnx
from nafnet.parity import Precision
from nafnet.planfile import inspect_plan
from nafnet.runtime.backends.model import Model
from nafnet.spec import Norm


class Exports:
    """The exports of one checkpoint. None goes through the gate of nafnet-export: the bench has its own.

    Args:
        folder: where they are written.
        norm: the form of LayerNorm in our fp32 export.
        batch: the largest batch that an engine is to take.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, norm: Norm, batch: int) -> None:
        self.checkpoint, self._folder, self._norm, self._batch = checkpoint, folder, norm, batch
        self._made: dict[str, Model] = {}

    def naive(self) -> Model:
        """torch.onnx.export of the published module as it is.

        Raises:
            ModelError: with local pooling, whose plain form knows one size of image: the one it was traced on.
        """
        return self._once("naive", self._make_naive)

    def counted(self, side: int) -> Path:
        """The plain graph to count the work in, for tiles of so many pixels a side."""
        if not self.checkpoint.spec.local_pooling:
            return self.naive().path
        return self._once(f"counted-{side}", lambda path: self._traced(path, side)).path

    def ours(self, precision: Precision) -> Model:
        """The rewritten network as ONNX."""
        return self._once(f"ours-{precision}", lambda path: self._make_ours(path, precision))

    def plan(self, flavour: str, precision: Precision) -> Model:
        """The rewritten network as an engine, built on this machine for its GPU.

        Raises:
            NafnetError: it cannot be built.
        """
        return self._once(f"{flavour}-{precision}", lambda path: self._make_plan(path, flavour, precision))

    def _once(self, name: str, make: Callable[[Path], Model]) -> Model:
        if name not in self._made:
            self._made[name] = make(self._folder / f"{name}.onnx")
        return self._made[name]

    def _make_naive(self, path: Path) -> Model:
        spec = self.checkpoint.spec
        if spec.local_pooling:
            raise ModelError("the plain export of local pooling holds for one size alone")
        return self._traced(path, None)

    def _traced(self, path: Path, side: int | None) -> Model:
        spec = self.checkpoint.spec
        onnx.save(to_onnx(self.checkpoint.build(), spec.channels, spec.multiple, side=side), path)
        return Model(path=path, spec=spec)

    def _make_ours(self, path: Path, precision: Precision) -> Model:
        exported = self._export(precision)
        onnx.save(exported.model, path)
        return Model(path=path, spec=exported.spec)

    def _make_plan(self, path: Path, flavour: str, precision: Precision) -> Model:
        target = Target(folder=self._folder, stem=path.stem, engine=EngineSettings(), note=lambda _: None)
        plan = write_formats(self._export(precision), (flavour,), target)[0]
        return Model(path=plan, spec=inspect_plan(plan))

    def _export(self, precision: Precision) -> Exported:
        norm = self._norm if precision == "fp32" else None
        batch = (1, self._batch, self._batch)
        return export(self.checkpoint, ExportOptions(precision=precision, norm=norm, batch=batch, verify=False))
