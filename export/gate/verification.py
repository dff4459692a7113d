"""Runs an exported graph beside the PyTorch module it came from, on every case, and keeps what the gate said.

Questions, kept apart. The gate: does the graph give what PyTorch gives, on every executor that is here; does it hold
the very weights; does it still give it with other weights, of a network whose every part matters, and of one whose
inner values are as large as real models have them, which do not fit in fp16. Reported, never mixed with these: what
cutting an image into tiles changes, in PyTorch and in the graph. None of them says how good the pictures are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.difference import MAX_REPORTED_PSNR, UNMEASURABLE
from nafnet.errors import ParityError
from nafnet.export.gate.cases import Case, picture
from nafnet.export.gate.executors import Executor, Run, executors
from nafnet.export.gate.parity import Row, compare, refusal, worst
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.truth import Pairs, TruthLoss, measure_loss
from nafnet.export.gate.weights import wrong_weights
from nafnet.metrics import psnr
from nafnet.spec import ModelSpec
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import blend_tiles, cut_tiles, plan_tiles
from nafnet.wire import Batch, from_wire, to_wire
from nafnet.words import counted

OPENED = "every weight matters"
# Bottlenecks of trained networks were seen at 175; the second is what another training may come to.
AMPLIFIED = (175.0, 1000.0)


@dataclasses.dataclass(kw_only=True)
class Worst:
    """The images of the worst comparison so far, each float32[C,H,W]."""

    row: Row
    given: Batch
    expected: Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class TilingError:
    """What tiles do, apart from what the export does; PSNR in dB of one picture of several tiles."""

    image: tuple[int, int]
    tile: int
    overlap: int
    tiling_psnr: float
    """PyTorch in tiles against PyTorch on the whole image."""
    backend_psnr: float
    """The worst tile through the graph against PyTorch in it, but for what rounding at the border must cost."""
    refused: str | None = None
    """What the gate has against the graph in tiles."""


class Count:
    """Numbers comparisons, for whoever watches; progress is measured in values, for the inputs differ in size.

    Args:
        total: how many comparisons there will be; of 0, nobody said.
        values: of all of their inputs.
    """

    def __init__(self, total: int = 0, values: int = 0, on_step: OnStep = unwatched) -> None:
        self.on_step = on_step
        self._number, self._total, self._done, self._values = 0, total, 0, values

    @classmethod
    def of(cls, batches: Sequence[Batch], executors: int, on_step: OnStep) -> Count:
        """Of comparing each of the batches on so many executors."""
        return cls(len(batches) * executors, sum(batch.size for batch in batches) * executors, on_step)

    def next(self, name: str, ran_on: str, batch: Batch) -> None:
        """Say which comparison begins; those before it are done."""
        self._number += 1
        of = f" of {self._total}" if self._total else ""
        self.on_step(f"comparison {self._number}{of}: {name} on {ran_on}", self._done, self._values)
        self._done += batch.size


class Verification:
    """Collects comparisons of one artefact.

    Args:
        reference: PyTorch, with the network as trained.
        spec: the artefact's, for its precision, border and tiles.
        count: tells of each comparison.
    """

    def __init__(self, reference: Reference, spec: ModelSpec, count: Count | None = None) -> None:
        self.reference, self.spec = reference, spec
        self.weights: str | None = None
        self.failed: set[str] = set()
        """Executors that could not run the graph; nothing else is measured on them."""
        self._count = count or Count()
        self.rows: list[Row] = []
        self.worst: Worst | None = None
        self.tiling: TilingError | None = None
        self.truth: TruthLoss | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate has nothing against what was compared so far."""
        return self.refusal() is None

    def refusal(self) -> ParityError | None:
        """The error that says what the gate has against it, if anything."""
        if self.weights is not None:
            return ParityError(f"parity refused: {self.weights}")
        if any(row.refused and row.decides for row in self.rows):
            return refusal(self.rows, self.spec.precision)
        if self.truth is not None and self.truth.refused:
            return ParityError(f"parity refused: {self.truth.refused} ({counted(self.truth.pictures, 'picture')})")
        if self.tiling is not None and self.tiling.refused:
            return ParityError(f"parity refused: in tiles {self.tiling.refused}")
        return None

    def measure_truth(self, found: Pairs, run: Run) -> None:
        """Against clean pictures, see `truth`; without any, nothing is measured."""
        if found:
            self._count.on_step(f"restoring {counted(len(found), 'picture')} to compare with clean ones", 0, 0)
        self.truth = measure_loss(self.reference, run, found)

    def compare_weights(self, model: onnx.ModelProto, module: nn.Module) -> None:
        """Those in the graph with those that were to be written, to the bit."""
        self.weights = wrong_weights(model, module)

    def compare_all(self, cases: Iterable[Case], executors: Sequence[Executor]) -> None:
        """Every case through every executor."""
        for case in cases:
            self._compare(case.name, case.batch, self.reference, executors)

    def compare_remade(self, remade: Callable[[NAFNet], bytes], batch: Batch) -> None:
        """The same graph with other weights: random ones each of which matters, so that a fault in any part is seen;
        and the network's own with a residual stream at the bottleneck of each size in `AMPLIFIED`.

        Args:
            remade: the graph with the weights of the network it is given.
        """
        other = self.reference.opened()
        self._compare(OPENED, batch, other, executors(remade(other.network), self.spec))
        for target in AMPLIFIED:
            louder, reached = self.reference.amplified(target, batch)
            made = executors(remade(louder.network), self.spec)
            self._compare(f"inner values to {reached:.0f}", batch, louder, made)

    def measure_tiling(self, run: Run) -> None:
        """Tiles of the spec's size over a picture of several, in PyTorch and in the graph."""
        tile, overlap, channels = self.spec.tile, self.spec.overlap, self.spec.channels
        height, width = tile, 2 * tile
        image = picture(1, channels, height, width)
        plan = plan_tiles(height, width, tile=tile, overlap=overlap, multiple=self.spec.multiple)

        image = from_wire(to_wire(image, self.spec.io), self.spec.io)  # both see what the border lets through

        parts = [part[None].copy() for part in cut_tiles(image[0], plan)]
        expected, rows = [], []
        for index, part in enumerate(parts):
            done = f"what tiles change: {index + 1} of {len(parts)}, then the whole picture"
            self._count.on_step(done, index, len(parts) + 2)
            expected.append(self.reference(part))
            rows.append(compare("tile", "", run(part), expected[-1], self.spec.precision, self.spec.io))
        tiled = blend_tiles((part[0].copy() for part in expected), plan, channels)
        lowest = worst(rows)
        self.tiling = TilingError(
            image=(height, width), tile=tile, overlap=overlap,
            tiling_psnr=_capped_psnr(tiled, self.reference(image)[0]), backend_psnr=lowest.psnr, refused=lowest.refused,
        )  # fmt: skip

    def _compare(self, name: str, batch: Batch, reference: Reference, executors: Sequence[Executor]) -> None:
        batch = from_wire(to_wire(batch, self.spec.io), self.spec.io)  # both see what the border lets through
        for executor in executors:
            self._count.next(name, executor.name, batch)
            expected = reference(batch)
            failure, given = None, np.zeros_like(expected)
            try:
                given = executor.run(batch)
            except Exception as error:  # each library has its own family of errors
                failure = f"cannot run it ({' '.join(str(error).split())[:200]})"
            row = compare(
                name, executor.name, given, expected, executor.precision, self.spec.io, decides=executor.decides
            )
            if failure:
                self.failed.add(executor.name)
                row = dataclasses.replace(row, psnr=0.0, max_abs=UNMEASURABLE, p999=UNMEASURABLE, refused=failure)
            if np.isfinite(batch).all() and not np.isfinite(expected).all():
                row = dataclasses.replace(row, refused="PyTorch itself gives values that are not finite", decides=True)
            self.rows.append(row)
            if self.worst is None or worst([self.worst.row, row]) is row:
                self.worst = Worst(row=row, given=given[0], expected=expected[0])


def _capped_psnr(image: Batch, reference: Batch) -> float:
    if not np.isfinite(image).all():
        return 0.0
    return round(min(psnr(image, reference, peak=1.0), MAX_REPORTED_PSNR), 2)
