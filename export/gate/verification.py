"""Runs an exported graph beside the PyTorch module it came from, on every case, and keeps what the gate said.

Three questions, kept apart: does the graph give what PyTorch gives (the gate); does it still with the inner values
scaled up, because real models have values there that do not fit in fp16 (the gate, too); and what does cutting an image
into tiles change, in PyTorch and in the graph (reported, never mixed with the first). None of them says how good the
pictures are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
import onnxruntime
import torch

from nafnet.architecture import NAFNet
from nafnet.errors import ParityError
from nafnet.export.gate.cases import Case, picture
from nafnet.export.gate.half_storage import as_stored, stores_half
from nafnet.export.gate.parity import MAX_REPORTED_PSNR, Row, compare, refusal, worst
from nafnet.export.gate.truth import Pairs, TruthLoss, measure_loss
from nafnet.export.network.graph import INPUT
from nafnet.export.network.scaling import amplifying, residual_peaks, scaled
from nafnet.metrics import psnr
from nafnet.onnxfile import HARMFUL_OPTIMIZERS
from nafnet.spec import ModelSpec
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import blend_tiles, cut_tiles, plan_tiles
from nafnet.wire import Batch, from_wire, to_wire
from nafnet.words import counted

Run = Callable[[Batch], Batch]
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
        reference: the network as trained, fp32.
        spec: the artefact's, for its precision, border and tiles.
        count: tells of each comparison.
    """

    def __init__(self, reference: NAFNet, spec: ModelSpec, count: Count | None = None) -> None:
        self.reference, self.spec = reference, spec
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
        if any(row.refused for row in self.rows):
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
        self.truth = measure_loss(_torch(self.reference), run, found)

    def compare_all(self, cases: Iterable[Case], executors: dict[str, Run]) -> None:
        """Every case through every executor."""
        for case in cases:
            self._compare(case.name, case.batch, self.reference, executors)

    def compare_amplified(self, make: Callable[[NAFNet], dict[str, Run]], batch: Batch) -> None:
        """The same network with a residual stream at the bottleneck of each size in `AMPLIFIED`.

        Args:
            make: the executors of the artefact that has the weights of the network it is given.
        """
        peaks = residual_peaks(self.reference, [batch])
        for target in AMPLIFIED:
            factors = amplifying(peaks, target)
            louder = scaled(self.reference, factors, keep_epsilon=True)
            reached = factors[-1] * peaks[-1]
            self._compare(f"inner values to {reached:.0f}", batch, louder, make(louder))

    def measure_tiling(self, run: Run) -> None:
        """Tiles of the spec's size over a picture of several, in PyTorch and in the graph."""
        tile, overlap, channels = self.spec.tile, self.spec.overlap, self.spec.channels
        height, width = tile + tile // 2, 2 * tile
        image = picture(1, channels, height, width)
        plan = plan_tiles(height, width, tile=tile, overlap=overlap, multiple=self.spec.multiple)

        image = from_wire(to_wire(image, self.spec.io), self.spec.io)  # both see what the border lets through

        reference = _torch(self.reference)
        parts = [part[None].copy() for part in cut_tiles(image[0], plan)]
        expected, rows = [], []
        for index, part in enumerate(parts):
            done = f"what tiles change: {index + 1} of {len(parts)}, then the whole picture"
            self._count.on_step(done, index, len(parts) + 2)
            expected.append(reference(part))
            rows.append(compare("tile", "", run(part), expected[-1], self.spec.precision, self.spec.io))
        tiled = blend_tiles((part[0].copy() for part in expected), plan, channels)
        lowest = worst(rows)
        self.tiling = TilingError(
            image=(height, width), tile=tile, overlap=overlap, tiling_psnr=_capped_psnr(tiled, reference(image)[0]),
            backend_psnr=lowest.psnr, refused=lowest.refused,
        )  # fmt: skip

    def _compare(self, name: str, batch: Batch, reference: NAFNet, executors: dict[str, Run]) -> None:
        batch = from_wire(to_wire(batch, self.spec.io), self.spec.io)  # both see what the border lets through
        expected: Batch | None = None
        for ran_on, run in executors.items():
            self._count.next(name, ran_on, batch)
            if expected is None:
                expected = _torch(reference)(batch)
            given = run(batch)
            row = compare(name, ran_on, given, expected, self.spec.precision, self.spec.io)
            self.rows.append(row)
            if self.worst is None or worst([self.worst.row, row]) is row:
                self.worst = Worst(row=row, given=given[0], expected=expected[0])


def executors(model: onnx.ModelProto, spec: ModelSpec) -> dict[str, Run]:
    """What can run the graph on this machine's CPU, by name.

    ONNX Runtime runs the file as it is, but knows no bfloat16 there, and does not keep half as half; so a graph in
    half is also run with every value rounded where a GPU would store it, see `half_storage`.
    """
    found: dict[str, Run] = {}
    if spec.precision != "bf16":
        found["ONNX Runtime"] = session(model, spec)
    if stores_half(model):
        kind = "fp16" if spec.precision != "bf16" else "bf16"
        found[f"{kind} storage"] = session(as_stored(model), spec)
    return found


def strictest(found: dict[str, Run]) -> Run:
    """Of several executors the one that rounds most."""
    return list(found.values())[-1]


def session(model: onnx.ModelProto, spec: ModelSpec) -> Run:
    """The graph in ONNX Runtime on the CPU, behind the image contract."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only; they are raised as well
    loaded = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"], disabled_optimizers=HARMFUL_OPTIMIZERS
    )

    def run(batch: Batch) -> Batch:
        return from_wire(loaded.run(None, {INPUT: to_wire(batch, spec.io)})[0], spec.io)

    return run


def _torch(module: NAFNet) -> Run:
    @torch.inference_mode()
    def run(batch: Batch) -> Batch:
        restored: Batch = module(torch.from_numpy(batch)).numpy()
        return restored

    return run


def _capped_psnr(image: Batch, reference: Batch) -> float:
    if not np.isfinite(image).all():
        return 0.0
    return round(min(psnr(image, reference, peak=1.0), MAX_REPORTED_PSNR), 2)


def profile_sizes(spec: ModelSpec, batch: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """(N, H, W) of the smallest, best and largest input of an engine: fixed, or up to 1.5 times the training patch."""
    low, best, high = batch
    if spec.fixed_shape:
        return tuple((n, spec.tile, spec.tile) for n in (low, best, high))
    most = -(-max(spec.tile, int(1.5 * spec.train_patch)) // spec.multiple) * spec.multiple
    return ((low, spec.multiple, spec.multiple), (best, spec.tile, spec.tile), (high, most, most))
