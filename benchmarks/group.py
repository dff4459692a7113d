"""Rows that are in memory together, measured: parity and speed of each case, pictures, and from file to file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

from nafnet.benchmarks.estimate import Watch
from nafnet.benchmarks.loading import open_one
from nafnet.benchmarks.measure.case import Opened, Shape, run_case
from nafnet.benchmarks.measure.roofline import count
from nafnet.benchmarks.measure.scores import Restored, accuracy, restore_all
from nafnet.benchmarks.measure.whole_path import whole_paths
from nafnet.benchmarks.pictures import Pictures
from nafnet.benchmarks.results_file import AccuracyResult, CaseResult, PathsResult, RowResult
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.rows.variants import NAIVE_FIXED
from nafnet.benchmarks.verdict.baseline import Baseline, Key
from nafnet.benchmarks.verdict.regression import suspects
from nafnet.runtime.backends.base import Backend
from nafnet.spec import ModelSpec, Norm

_OR_MORE = " (or more, for the baseline)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Of a run of the bench."""

    wanted: Wanted
    norm: Norm
    """Of our fp32 export."""
    tiles: tuple[int, ...]
    batches: tuple[int, ...]
    seconds: float
    """For the counted rounds of each tile and batch, and of each group of rows."""
    threads: int
    memory: float
    """Bytes of this process that rows are loaded up to."""
    earlier: Baseline = dataclasses.field(default_factory=dict)
    """Rounds go on where a row seems slower than there."""
    cold: bool = True
    """Whether to start every backend in a process of its own."""
    profiled: bool = False
    """Whether to say where the time goes."""

    @property
    def first(self) -> tuple[int, int]:
        """(batch, tile) of the first case."""
        return self.batches[0], self.tiles[0]

    def overlap(self, spec: ModelSpec, tile: int) -> int:
        """Of tiles of pictures."""
        return min(spec.overlap, tile // 4)

    def grids(self, spec: ModelSpec, largest: int) -> list[tuple[int, int]]:
        """(tile, overlap) whose own error is measured, on pictures with so many pixels a side."""
        return [
            (side, shared)
            for side in self.tiles if side < largest
            for shared in dict.fromkeys((0, self.overlap(spec, side)))
        ]  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """What came of it. Lists have the reference first."""

    cases: list[CaseResult]
    usable: list[Candidate]
    """Who was not refused in the first case; the others are not looked at further."""
    restored: Restored | None = None
    accuracy: AccuracyResult | None = None
    paths: PathsResult | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measuring:
    """What a group is measured with."""

    exports: Exports
    settings: Settings
    pictures: Pictures | None
    watch: Watch
    on_parity: Callable[[list[RowResult]], None]
    """Told the rows of each group, before they are timed in the first case."""
    on_case: Callable[[CaseResult], None] | None = None
    """Told each case as soon as it is measured, where the group has all rows."""

    @property
    def spec(self) -> ModelSpec:
        return self.exports.checkpoint.spec


def measure_group(chosen: Sequence[Candidate], opened: Sequence[Opened], number: int, measuring: Measuring) -> Group:
    """Measure rows that are loaded.

    Args:
        chosen: of the group, in the order of tables, the reference first.
        opened: those among them that are loaded; others are for their own case.
        number: of the group, from 1.
    """
    cases = list(_cases(chosen, opened, number, measuring))
    loaded = {id(each.candidate): each for each in opened}
    refused = {row["name"] for row in cases[0]["rows"] if row["refused"] is not None}
    usable = [
        (each.candidate, each.backend) for row in chosen
        if (each := loaded.get(id(row))) and each.backend is not None and row.name not in refused
    ]  # fmt: skip
    candidates = [candidate for candidate, _ in usable]
    if measuring.pictures is None:
        return Group(cases=cases, usable=candidates)
    tile_seconds = cases[0]["rows"][0]["speed"]["minimum"] / measuring.settings.batches[0]
    restored, scores = _on_pictures(usable, measuring.pictures, number, measuring)
    paths = _file_to_file(usable, measuring.pictures, tile_seconds, number, measuring)
    return Group(cases=cases, usable=candidates, restored=restored, accuracy=scores, paths=paths)


def _on_pictures(
    usable: Sequence[tuple[Candidate, Backend]], pictures: Pictures, number: int, measuring: Measuring
) -> tuple[Restored, AccuracyResult]:
    measuring.watch.begin(f"{number}: pictures")
    tile = measuring.settings.tiles[0]
    overlap = measuring.settings.overlap(measuring.spec, tile)
    # In tiles of several sizes what is loaded for one size is what it is without.
    free = [(candidate, backend) for candidate, backend in usable if restores(candidate)]
    restored = restore_all(_named(free), pictures, tile, overlap, measuring.watch.say)
    grids = measuring.settings.grids(measuring.spec, pictures.largest) if number == 1 else []
    if grids:
        measuring.watch.say("pictures, PyTorch in tiles and whole")
    return restored, accuracy(restored, usable[0][1], tile=tile, overlap=overlap, grids=grids)


def _file_to_file(
    usable: Sequence[tuple[Candidate, Backend]], pictures: Pictures, tile_seconds: float, number: int,
    measuring: Measuring,
) -> PathsResult:  # fmt: skip
    measuring.watch.begin(f"{number}: photograph")
    settings, spec = measuring.settings, measuring.spec
    batch, tile = settings.first
    for candidate, backend in usable:
        if candidate.prepared:
            backend.prepare((batch, spec.channels, tile, tile))
    return whole_paths(
        _named(usable), pictures.pictures[0], tile=tile, overlap=settings.overlap(spec, tile), batch=batch,
        seconds=settings.seconds, tile_seconds=tile_seconds, on_row=measuring.watch.say,
        on_round=lambda share: measuring.watch.say("file to file, in turn", share),
    )  # fmt: skip


def restores(candidate: Candidate) -> bool:
    """Whether it restores pictures and starts anew: what is loaded for one size alone would be a row told twice."""
    return not candidate.name.endswith(NAIVE_FIXED)


def _named(backends: Sequence[tuple[Candidate, Backend]]) -> list[tuple[str, Backend]]:
    return [(candidate.name, backend) for candidate, backend in backends]


def _cases(
    chosen: Sequence[Candidate], opened: Sequence[Opened], number: int, measuring: Measuring
) -> Iterator[CaseResult]:
    """Each tile and batch; what was made for one is loaded for that one, and gone after it."""
    exports, settings, watch = measuring.exports, measuring.settings, measuring.watch
    shapes = [(tile, batch) for tile in settings.tiles for batch in settings.batches]
    for index, (tile, batch) in enumerate(shapes):
        shape = Shape(batch=batch, channels=measuring.spec.channels, tile=tile)
        title = f"{batch} x {tile} x {tile}"
        watch.begin(f"{number}: case {index}")
        earlier = settings.earlier.get(Key(measuring.spec.weights_sha256 or "", tile, batch)) if number == 1 else None
        with contextlib.ExitStack() as own:
            case = run_case(
                list(_of_case((batch, tile), chosen, opened, settings.threads, own)), shape,
                count(exports.counted(tile), shape.sizes), seconds=settings.seconds, device=chosen[0].device,
                on_row=functools.partial(_row, watch, title),
                on_parity=_unheard if index else measuring.on_parity,
                on_round=functools.partial(_share, watch, title, _OR_MORE if earlier else ""),
                go_on=suspects(earlier) if earlier else lambda _: False,
            )  # fmt: skip
        if measuring.on_case is not None:
            measuring.on_case(case)
        yield case


def _unheard(rows: list[RowResult]) -> None:
    """The rows of a case after the first."""


def _of_case(
    case: tuple[int, int], chosen: Sequence[Candidate], opened: Sequence[Opened], threads: int,
    stack: contextlib.ExitStack,
) -> Iterator[Opened]:  # fmt: skip
    """Who takes part in a case, in the order of the rows; what is not open yet is until the stack closes."""
    known = {id(each.candidate): each for each in opened}
    for row in chosen:
        if row.shape in (None, case):
            yield known.get(id(row)) or open_one(row, threads, stack)


def _row(watch: Watch, title: str, what: str) -> None:
    watch.say(f"{title}: {what}")


def _share(watch: Watch, title: str, more: str, share: float) -> None:
    watch.say(f"{title}: {share:.0%}{more if share == 1 else ''} of the rounds", share)


def joined(groups: Sequence[Group], order: Sequence[str]) -> Group:
    """All groups as one: rows in the given order of names. The reference is the first group's; what a later group has
    of its own rounds is said in its rows."""
    whole = groups[0]
    place = {name: index for index, name in enumerate(order)}
    for number, group in enumerate(groups[1:], 2):
        for case, own in zip(whole.cases, group.cases, strict=True):
            case["rows"] += [{**row, "group": number} for row in own["rows"][1:]]
            case["rows"].sort(key=lambda row: place[row["name"]])
        whole.usable.extend(group.usable[1:])
        if whole.accuracy is not None and group.accuracy is not None:
            whole.accuracy["rows"] += group.accuracy["rows"][1:]
            whole.accuracy["rows"].sort(key=lambda row: place[row["name"]])
        if whole.paths is not None and group.paths is not None:
            whole.paths["rows"] += group.paths["rows"][1:]
            whole.paths["rows"].sort(key=lambda row: place[row["name"]])
        if whole.restored is not None and group.restored is not None:
            later = list(group.restored.images.items())[1:]
            whole.restored.images.update(later)
            whole.restored.failed.update(group.restored.failed)
    whole.usable.sort(key=lambda candidate: place[candidate.name])
    return whole
