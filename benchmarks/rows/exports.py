"""The exports that the bench compares, each made when a row needs it and once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import onnx

from nafnet.allocator import give_back
from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import ModelError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.exporter import export
from nafnet.export.formats import write_formats
from nafnet.export.formats.target import Target
from nafnet.export.gate.cases import profile_sizes
from nafnet.export.network.graph import to_onnx
from nafnet.interpreter import module_command
from nafnet.parity import Precision
from nafnet.planfile import inspect_plan
from nafnet.runtime.backends.model import Model
from nafnet.spec import ModelSpec, Norm

LARGE = 32 * 2**20
"""Bytes of weights from which an export is made in a process of its own: the exporter takes ten times as much memory,
and keeps two or three times as much for good, where rows are to be loaded."""


class Exports:
    """The exports of one checkpoint. None goes through the gate of nafnet-export: the bench has its own.

    Args:
        folder: where they are written.
        norm: the form of LayerNorm in our fp32 export.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, norm: Norm) -> None:
        self.checkpoint, self._folder, self._norm = checkpoint, folder, norm
        self._made: dict[str, Model] = {}
        self._graphs: dict[tuple[Precision, int | None], Exported] = {}
        self.apart = 4 * sum(tensor.numel() for tensor in checkpoint.state_dict.values()) >= LARGE

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

    def ours(self, precision: Precision, tile: int | None = None) -> Model:
        """The rewritten network as ONNX, for tiles of so many pixels a side alone, or for any."""
        name = f"ours-{precision}" + (f"-{tile}" if tile else "")
        return self._once(name, lambda path: self._make_ours(path, precision, tile))

    def plan(self, flavour: str, precision: Precision, batch: int, tile: int) -> Model:
        """The rewritten network as an engine for this very batch and tile, built on this machine for its GPU.

        Raises:
            NafnetError: it cannot be built.
        """
        name = f"{flavour}-{precision}-{batch}-{tile}"
        return self._once(name, lambda path: self._make_plan(path, flavour, precision, batch, tile))

    def forget_graphs(self) -> None:
        """Free the graphs that are written by now; one that an engine needs later is made once more."""
        self._graphs.clear()

    def _once(self, name: str, make: Callable[[Path], Model]) -> Model:
        if name not in self._made:
            self._made[name] = make(self._folder / f"{name}.onnx")
            give_back()  # what the exporter took, ten times the weights, would stand beside all that is loaded
        return self._made[name]

    def _make_naive(self, path: Path) -> Model:
        spec = self.checkpoint.spec
        if spec.local_pooling:
            raise ModelError("the plain export of local pooling holds for one size alone")
        return self._traced(path, None)

    def _traced(self, path: Path, side: int | None) -> Model:
        if self.apart:
            return self._made_apart(path, "plain", "fp32", side)
        spec = self.checkpoint.spec
        onnx.save(to_onnx(self.checkpoint.build(), spec.channels, spec.multiple, side=side), path)
        return Model(path=path, spec=spec)

    def _make_ours(self, path: Path, precision: Precision, tile: int | None) -> Model:
        if self.apart:
            return self._made_apart(path, "ours", precision, tile)
        exported = self._exported(precision, tile)
        onnx.save(exported.model, path)
        return Model(path=path, spec=exported.spec)

    def _made_apart(self, path: Path, kind: Literal["plain", "ours"], precision: Precision, side: int | None) -> Model:
        request = {
            "source": str(self.checkpoint.source.absolute()), "path": str(path), "norm": self._norm, "kind": kind,
            "precision": precision, "side": side,
        }  # fmt: skip
        done = subprocess.run(
            module_command("nafnet.benchmarks.rows.exports"), input=json.dumps(request), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ModelError(f"{path.stem}: cannot be exported ({lines[-1]})")
        return Model(path=path, spec=ModelSpec.from_json(done.stdout.splitlines()[-1]))

    def make(self, path: Path, kind: Literal["plain", "ours"], precision: Precision, side: int | None) -> Model:
        """Write one export, here and now."""
        self.apart = False
        return self._traced(path, side) if kind == "plain" else self._make_ours(path, precision, side)

    def _make_plan(self, path: Path, flavour: str, precision: Precision, batch: int, tile: int) -> Model:
        target = Target(folder=self._folder, stem=path.stem, engine=EngineSettings(), note=lambda _: None)
        exported = self._exported(precision, tile)
        sizes = profile_sizes(exported.spec, (batch, batch, batch))
        plan = write_formats(dataclasses.replace(exported, sizes=sizes), (flavour,), target)[0]
        return Model(path=plan, spec=inspect_plan(plan))

    def _exported(self, precision: Precision, tile: int | None) -> Exported:
        """Once: the exporter takes half a minute for a large network, and engines of all batches share a graph."""
        if (precision, tile) not in self._graphs:
            norm = self._norm if precision == "fp32" else None
            options = ExportOptions(precision=precision, norm=norm, tile=tile, verify=False)
            self._graphs[precision, tile] = export(self.checkpoint, options)
        return self._graphs[precision, tile]


class Unmade(Exports):
    """Exports of which none is made: to know beforehand which rows there will be."""

    def _once(self, name: str, make: Callable[[Path], Model]) -> Model:
        del make
        return Model(path=self._folder / f"{name}.onnx", spec=self.checkpoint.spec)


def answer(request: dict[str, Any]) -> str:
    """What the process of its own makes: the file; returns its spec as JSON."""
    path = Path(request["path"])
    exports = Exports(load_checkpoint(request["source"]), path.parent, request["norm"])
    return exports.make(path, request["kind"], request["precision"], request["side"]).spec.to_json()


if __name__ == "__main__":
    print(answer(json.load(sys.stdin)))
