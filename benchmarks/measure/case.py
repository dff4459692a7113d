"""One tile and batch: parity first, then the survivors and the machine's yardsticks in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from nafnet.benchmarks.gpu import Sampler, gpu_uuid
from nafnet.benchmarks.machine import readings
from nafnet.benchmarks.measure.on_device import fill_device
from nafnet.benchmarks.measure.roofline import Rates, Work, floor, rates_from, yardsticks
from nafnet.benchmarks.photographs import in_unit_range, photographs
from nafnet.benchmarks.results_file import Agreement, CaseResult, RowResult, Speed, Transfers
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.timing import Rounds, Timing, alternate
from nafnet.errors import MissingExtraError, NafnetError
from nafnet.export.gate.cases import picture
from nafnet.export.gate.parity import compare, worst
from nafnet.export.gate.photographs import centre
from nafnet.runtime.backends.base import Backend
from nafnet.wire import Batch, from_wire, to_wire


@dataclasses.dataclass(kw_only=True)
class Opened:
    """A candidate that is loaded, or why it is not."""

    candidate: Candidate
    backend: Backend | None = None
    refused: str | None = None
    load_seconds: float = 0.0
    prepare_seconds: float = 0.0
    """To prepare it for the first case and to run that once, where that was done as it was loaded."""
    batch_seconds: float | None = None
    """Of its second batch of the first case, where it ran as it was loaded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """N, C, H, W of a case; H and W are the tile's side."""

    batch: int
    channels: int
    tile: int

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.batch, self.channels, self.tile, self.tile

    @property
    def megapixels(self) -> float:
        return self.batch * self.tile**2 / 1e6


def inputs(shape: Shape) -> dict[str, Batch]:
    """What parity is checked on, float32[N,C,H,W] in [0, 1] as the image contract has it: a picture with noise, noise
    alone, the dark, flat one that breaks exports, and a photograph where the libraries that bring one are installed."""
    generator = np.random.default_rng(0)
    noisy = picture(*shape.sizes) + generator.normal(0, 0.05, shape.sizes)
    flat = np.resize(np.array((33, 25, 23), np.float32) / 255, shape.channels)[:, None, None]
    tiles = {
        "noisy picture": np.clip(noisy, 0, 1).astype(np.float32),
        "noise": generator.random(shape.sizes, np.float32),
        "dark and flat": np.broadcast_to(flat, shape.sizes).astype(np.float32),
    }
    with contextlib.suppress(MissingExtraError):
        name, pixels = next(photographs())
        cut = centre(in_unit_range(pixels).transpose(2, 0, 1), *shape.sizes[1:])
        tiles[name] = np.repeat(cut[None], shape.batch, 0)
    return tiles


def run_case(
    opened: Sequence[Opened],
    shape: Shape,
    work: Work,
    *,
    seconds: float,
    device: str,
    on_row: Callable[[str], None] = lambda _: None,
    on_parity: Callable[[list[RowResult]], None] = lambda _: None,
    on_round: Callable[[float], None] = lambda _: None,
    go_on: Callable[[Rounds], bool] = lambda _: False,
) -> CaseResult:
    """Measure one case.

    Args:
        opened: the rows, the reference first.
        work: of one batch of this shape.
        seconds: that the counted rounds may take.
        device: where the yardsticks are measured.
        on_row: told the name of what is compared, or is warmed up.
        on_parity: told the rows before they are timed.
        on_round: told the share of the time that is over.
        go_on: asked, once it is over, whether more rounds are wanted, see `timing.alternate`; given the seconds so far
            by the names of rows and yardsticks.
    """
    tiles = inputs(shape)
    rows = check(opened, shape, tiles, on_row)
    on_parity(rows)
    before = readings()
    tile = tiles["noisy picture"]
    survivors = [(row, each.backend) for row, each in zip(rows, opened, strict=True) if row["refused"] is None]
    sticks = yardsticks(device, sorted({each.candidate.precision for each in opened if each.refused is None}))
    functions: list[Callable[[], object]] = [functools.partial(backend, tile) for _, backend in survivors if backend]
    names = [*(row["name"] for row, _ in survivors), *sticks]
    with Sampler(gpu_uuid(), on=device != "cpu") as sampler:
        timings = alternate(
            [*functions, *sticks.values()], seconds=seconds, on_round=on_round,
            on_warm=lambda index: on_row(f"warming up {names[index]}"),
            go_on=lambda taken: go_on(dict(zip(names, taken, strict=True))),
        )  # fmt: skip
    after = readings()
    stick_timings = dict(zip(sticks, timings[len(survivors) :], strict=True))
    rates = rates_from({name: timing.minimum for name, timing in stick_timings.items()}, device)
    for (row, _), timing in zip(survivors, timings, strict=False):
        _fill(row, timing, timings[0].minimum, shape, work, rates)
    for row, each in zip(rows, opened, strict=True):
        if "speed" in row and each.backend is not None and each.candidate.device != "cpu":
            fill_device(row, each.backend, tile)
    worked = sampler.summary()
    return CaseResult(
        tile=shape.tile, batch=shape.batch, flops=work.flops, bytes=work.bytes,
        yardsticks={name: speed(timing) for name, timing in stick_timings.items()},
        flops_per_second={str(name): rate for name, rate in rates.flops.items()},
        bytes_per_second=rates.bytes,
        floor_seconds={str(name): floor(work, rates, name) for name in rates.flops},
        readings={"before": before, **({"while it works": worked} if worked else {}), "after": after},
        transfers=None if device == "cpu" else transfers(shape, device),
        rows=rows,
    )  # fmt: skip


def check(
    opened: Sequence[Opened], shape: Shape, tiles: Mapping[str, Batch], on_row: Callable[[str], None] = lambda _: None
) -> list[RowResult]:
    """A row for each, with its parity; whoever fails the gate of its precision has `refused` set.

    Both sides are given what the candidate's border lets through, as in the gate of nafnet-export: what 8 bits lose of
    a tile is no backend's error.
    """
    reference = opened[0].backend
    assert reference is not None, "without the reference nothing can be compared"
    wires = {each.candidate.model.spec.io for each in opened if each.backend is not None}
    given_to = {wire: {name: from_wire(to_wire(tile, wire), wire) for name, tile in tiles.items()} for wire in wires}
    expected = {wire: {name: reference(tile) for name, tile in given_to[wire].items()} for wire in wires}
    rows = []
    for each in opened:
        candidate, wire = each.candidate, each.candidate.model.spec.io
        row = RowResult(
            name=candidate.name, backend=candidate.backend, precision=candidate.precision, parity=None,
            refused=each.refused,
        )  # fmt: skip
        rows.append(row)
        if each.backend is None:
            continue
        on_row(f"comparing {candidate.name}")
        try:
            started = time.perf_counter()
            if candidate.prepared:
                each.backend.prepare(shape.sizes)
                each.backend.forget_other_shapes()
            first, *others = given_to[wire].items()
            given = {first[0]: each.backend(first[1])}
            row["prepare_seconds"] = each.prepare_seconds + time.perf_counter() - started
            each.prepare_seconds = 0.0
            given |= {name: each.backend(tile) for name, tile in others}
        except NafnetError as error:
            row["refused"] = str(error)
            continue
        if each is not opened[0]:
            judged = [compare(name, "", given[name], expected[wire][name], candidate.precision, wire) for name in tiles]
            bad = worst(judged)
            row["parity"] = Agreement(
                psnr=min(each.psnr for each in judged),
                max_abs=max(each.max_abs for each in judged),
                p999=max(each.p999 for each in judged),
            )
            if bad.refused:
                row["refused"] = f"not equal to PyTorch on '{bad.case}': {bad.refused}"
    return rows


def _fill(row: RowResult, timing: Timing, reference: float, shape: Shape, work: Work, rates: Rates) -> None:
    precision = next((name for name in rates.flops if name == row["precision"]), None)
    row["speed"] = speed(timing)
    row["megapixels_per_second"] = shape.megapixels / timing.minimum
    row["times_reference"] = reference / timing.minimum
    if precision is not None:
        row["share_of_matrix_rate"] = work.flops / timing.minimum / rates.flops[precision]
        row["share_of_floor"] = floor(work, rates, precision) / timing.minimum


def speed(timing: Timing) -> Speed:
    """All that is reported of a timing."""
    return Speed(
        seconds=list(timing.seconds),
        minimum=timing.minimum, median=timing.median, p90=timing.percentile(90), p95=timing.percentile(95),
        p99=timing.percentile(99), spread=timing.spread, verdict="steady" if timing.steady else "noisy",
    )  # fmt: skip


def transfers(shape: Shape, device: str, repeats: int = 20) -> Transfers:
    """A batch to the GPU and back, pinned, float32, by CUDA's events; the fastest of `repeats`. Not run on hardware
    yet."""
    host = torch.rand(shape.sizes).pin_memory()
    there = torch.empty(shape.sizes, device=device)
    found = {}
    for name, (target, source) in {"to_device": (there, host), "from_device": (host, there)}.items():
        taken = []
        for _ in range(repeats):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            target.copy_(source, non_blocking=True)
            end.record()
            end.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3)
        found[name] = min(taken)
    return Transfers(to_device=found["to_device"], from_device=found["from_device"])
