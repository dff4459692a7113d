"""One model through the whole bench: parity, speed by tile and batch, photographs, accuracy, cold starts, profiles.

Rows are measured in groups that fit into memory, each with the reference; few networks need more than one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nafnet.allocator import give_back
from nafnet.benchmarks.estimate import Extent, Row, Watch, in_groups, in_words
from nafnet.benchmarks.group import Group, Measuring, Settings, joined, measure_group, restores
from nafnet.benchmarks.loading import Room, by_need, open_group, open_one, run_twice
from nafnet.benchmarks.measure.case import Opened, Shape
from nafnet.benchmarks.measure.cold_start import cold_start
from nafnet.benchmarks.measure.scores import Restored
from nafnet.benchmarks.pictures import Pictures
from nafnet.benchmarks.profile_result import ProfileResult
from nafnet.benchmarks.profiles.profiled import profiles
from nafnet.benchmarks.results_file import CaseResult, ModelResult, RowResult, StartResult
from nafnet.benchmarks.rows.candidate import Absent, Candidate
from nafnet.benchmarks.rows.candidates import rows
from nafnet.benchmarks.rows.exports import Exports, Unmade
from nafnet.checkpoint import Checkpoint
from nafnet.errors import NafnetError
from nafnet.files import CACHE_VARIABLE
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import plan_tiles
from nafnet.words import counted

EXPORTED = 5.0, 1.0
"""Seconds of an export, and those for each million of its parameters, about."""
BETWEEN = 0.4, 1.5
"""Times what PyTorch takes, that the rows take on average, at the least and at the most."""


@dataclasses.dataclass(kw_only=True)
class Listener:
    """Told how it goes."""

    on_step: OnStep = unwatched
    say: Callable[[str], None] = lambda _: None
    """Told in a line how long it will take, and what does not go as it could."""
    on_parity: Callable[[list[RowResult]], None] = lambda _: None
    """Told the rows of each group, before they are timed for the first time."""
    on_case: Callable[[CaseResult], None] = lambda _: None


def bench(
    checkpoint: Checkpoint, pictures: Pictures | None, settings: Settings, listener: Listener
) -> tuple[ModelResult, Restored | None]:
    """Measure one checkpoint.

    Args:
        pictures: to restore, the first of them from file to file as well; None leaves both out.

    Returns:
        The figures, and what became of the pictures.
    """
    spec = checkpoint.spec
    watch = Watch(listener.on_step)
    with tempfile.TemporaryDirectory() as place, own_cache(Path(place, "cache")):
        _foretell(checkpoint, Path(place), settings, pictures, watch, listener.say)
        give_back()
        exports = Exports(checkpoint, Path(place), settings.norm)
        watch.say("exporting")
        found = list(rows(exports, settings.wanted))
        exports.counted(settings.tiles[0])
        exports.forget_graphs()
        chosen = [row for row in found if isinstance(row, Candidate)]
        measuring = Measuring(
            exports=exports, settings=settings, pictures=pictures, watch=watch,
            on_parity=listener.on_parity,
        )  # fmt: skip
        groups = list(_groups(chosen, measuring, listener))
        whole = joined(groups, [row.name for row in chosen])
        for case in whole.cases if len(groups) > 1 else ():
            listener.on_case(case)
        starts = list(_starts(whole.usable, settings, spec.channels, watch)) if settings.cold else []
        profiled = list(_profiles(whole.usable, exports, settings, watch)) if settings.profiled else []
    failed = whole.restored.failed if whole.restored else {}
    result = ModelResult(
        name=checkpoint.source.name, architecture=str(spec.architecture), task=spec.task,
        parameters=_parameters(checkpoint), weights_sha256=spec.weights_sha256 or "", cases=whole.cases, starts=starts,
        paths=whole.paths, accuracy=whole.accuracy,
        absent=[
            *({"name": row.name, "reason": row.reason} for row in found if isinstance(row, Absent)),
            *({"name": f"{name}, on pictures", "reason": reason} for name, reason in failed.items()),
        ],
    )  # fmt: skip
    if profiled:
        result["profiles"] = profiled
    return result, whole.restored


def _foretell(
    checkpoint: Checkpoint, place: Path, settings: Settings, pictures: Pictures | None, watch: Watch,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Say about how long it will take, from a batch of the reference alone: exports take minutes of their own."""
    watch.say("a tile in PyTorch")
    found = list(rows(Unmade(checkpoint, place, settings.norm), settings.wanted))
    chosen = [row for row in found if isinstance(row, Candidate)]
    with contextlib.ExitStack() as stack:
        each = open_one(chosen[0], settings.threads, stack)
        run_twice(each, _shape(checkpoint, settings))
    if each.batch_seconds is None:
        return  # it says why when it is compared
    guessed = []
    for factor in BETWEEN:
        batch = factor * each.batch_seconds
        known = [Row(batch=batch, load=2 * factor * each.load_seconds, restores=restores(row)) for row in chosen]
        exported = len({row.model.path for row in chosen} - {checkpoint.source})
        before = exported * (EXPORTED[0] + EXPORTED[1] * _parameters(checkpoint) / 1e6)
        to_come = in_groups(known, 0, _extent(checkpoint, settings, pictures)).values()
        guessed.append(factor * before + sum(row.load for row in known) + sum(to_come))
    batch, tile = settings.first
    say(
        f"{in_words(*guessed)}: {counted(len(chosen), 'row')}; PyTorch takes {each.batch_seconds:.2g} s for "
        f"{batch} x {tile} x {tile}. More exactly when each row has run"
    )


def _groups(chosen: Sequence[Candidate], measuring: Measuring, listener: Listener) -> Iterator[Group]:
    """The rows in groups that fit into memory, measured one after the other."""
    settings, checkpoint = measuring.settings, measuring.exports.checkpoint
    room = Room(settings.memory, 4 * _parameters(checkpoint))
    shape = _shape(checkpoint, settings)
    for_other_cases = [row for row in chosen if row.shape not in (None, settings.first)]
    reference, *left = by_need([row for row in chosen if row.shape in (None, settings.first)])
    number = 0
    while not number or left:
        number += 1
        give_back()  # exports, and the group before
        with contextlib.ExitStack() as stack:
            opened = open_group([reference, *left], shape, settings.threads, stack, room, measuring.watch.say)
            left = left[len(opened) - 1 :]
            taken = [each.candidate for each in opened] + (for_other_cases if number == 1 else [])
            if number == 1:
                _expect(opened, len(left), measuring, listener.say)
                measuring = dataclasses.replace(measuring, on_case=None if left else listener.on_case)
            own = [row for row in chosen if any(row is other for other in taken)]
            yield measure_group(own, opened, number, measuring)
        opened.clear()  # or their backends would live until the next group is loaded


def _expect(opened: Sequence[Opened], others: int, measuring: Measuring, say: Callable[[str], None]) -> None:
    known = [
        Row(
            batch=each.batch_seconds, load=each.load_seconds + each.prepare_seconds, restores=restores(each.candidate)
        )
        for each in opened if each.batch_seconds is not None
    ]  # fmt: skip
    if not known:
        return
    settings = measuring.settings
    expected = in_groups(known, others, _extent(measuring.exports.checkpoint, settings, measuring.pictures))
    measuring.watch.expect(expected)
    grouped = f"; into {settings.memory / 1e9:g} GB of memory fit {len(known)}, {others} more come after them"
    say(f"{in_words(sum(expected.values()))} to go{grouped if others else ''}")


def _extent(checkpoint: Checkpoint, settings: Settings, pictures: Pictures | None) -> Extent:
    batch, tile = settings.first
    tiles, tilings = 0.0, 0
    if pictures is not None:
        overlap, multiple = settings.overlap(checkpoint.spec, tile), checkpoint.spec.multiple
        for picture in pictures.pictures:
            plan = plan_tiles(*picture.degraded.shape[1:], tile=tile, overlap=overlap, multiple=multiple)
            tiles += plan.count * math.prod(plan.tile_shape) / tile**2
        grids = settings.grids(checkpoint.spec, pictures.largest)
        tilings = len(grids) + 1 if grids else 0
    return Extent(
        cases=[b * t**2 / (batch * tile**2) for t in settings.tiles for b in settings.batches], batch=batch,
        seconds=settings.seconds, picture_tiles=tiles, tilings=tilings, photograph=pictures is not None,
        cold=settings.cold, profiled=settings.profiled,
    )  # fmt: skip


def _shape(checkpoint: Checkpoint, settings: Settings) -> Shape:
    batch, tile = settings.first
    return Shape(batch=batch, channels=checkpoint.spec.channels, tile=tile)


def _profiles(
    chosen: Sequence[Candidate], exports: Exports, settings: Settings, watch: Watch
) -> Iterator[ProfileResult]:
    watch.begin("profiles")
    give_back()
    batch, tile = settings.first
    names = [candidate.name for candidate in chosen]
    yield from profiles(
        chosen, exports, settings.threads, batch, tile,
        lambda name: watch.say(f"profile of {name}", names.index(name) / len(names)),
    )  # fmt: skip


def _parameters(checkpoint: Checkpoint) -> int:
    return sum(parameter.numel() for parameter in checkpoint.build().parameters())


@contextlib.contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Keep what is compiled in a folder that goes with the measurement, not in the user's cache."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[CACHE_VARIABLE]
        else:
            os.environ[CACHE_VARIABLE] = before


def _starts(chosen: Sequence[Candidate], settings: Settings, channels: int, watch: Watch) -> Iterator[StartResult]:
    watch.begin("starts")
    shape = Shape(batch=settings.batches[0], channels=channels, tile=settings.tiles[0])
    chosen = [candidate for candidate in chosen if restores(candidate)]
    for index, candidate in enumerate(chosen):
        watch.say(f"{candidate.name}: started anew", index / len(chosen))
        try:
            start = cold_start(candidate.to_dict(), settings.threads, shape.sizes)
        except NafnetError as error:
            yield StartResult(name=candidate.name, failed=str(error))
        else:
            yield StartResult(
                name=candidate.name, total=start.total, loading=start.loading, first_tile=start.first_tile,
                host_mb=start.host_mb, device_mb=start.device_mb,
                device_mb_from=start.device_mb_from,
            )  # fmt: skip
