"""One model through the whole bench: parity, speed by tile and batch, cold starts, photographs, accuracy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nafnet.benchmarks.measure.case import Opened, Shape, run_case
from nafnet.benchmarks.measure.cold_start import cold_start
from nafnet.benchmarks.measure.roofline import count
from nafnet.benchmarks.measure.scores import Restored, accuracy, restore_all
from nafnet.benchmarks.measure.whole_path import whole_paths
from nafnet.benchmarks.pictures import Pictures
from nafnet.benchmarks.results_file import CaseResult, ModelResult, RowResult, StartResult
from nafnet.benchmarks.rows.candidate import Absent, Candidate
from nafnet.benchmarks.rows.candidates import Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.rows.variants import NAIVE_FIXED
from nafnet.benchmarks.verdict.baseline import Baseline, Key
from nafnet.benchmarks.verdict.regression import suspects
from nafnet.checkpoint import Checkpoint
from nafnet.errors import NafnetError
from nafnet.files import CACHE_VARIABLE
from nafnet.runtime.backends.base import Backend
from nafnet.spec import Norm

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
    """For the counted rounds of each tile and batch."""
    threads: int
    earlier: Baseline = dataclasses.field(default_factory=dict)
    """Rounds go on where a row seems slower than there."""
    cold: bool = True
    """Whether to start every backend in a process of its own."""


@dataclasses.dataclass(kw_only=True)
class Listener:
    """Told how it goes."""

    status: Callable[[str], None] = lambda _: None
    on_parity: Callable[[list[RowResult]], None] = lambda _: None
    on_case: Callable[[CaseResult], None] = lambda _: None


def bench(
    checkpoint: Checkpoint, pictures: Pictures, settings: Settings, listener: Listener
) -> tuple[ModelResult, Restored]:
    """Measure one checkpoint; returns the figures, and the pictures they are of."""
    spec = checkpoint.spec
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack, own_cache(Path(place, "cache")):
        listener.status("exporting")
        exports = Exports(checkpoint, Path(place), settings.norm)
        found = list(rows(exports, settings.wanted))
        chosen = [row for row in found if isinstance(row, Candidate)]
        listener.status("loading")
        first = settings.batches[0], settings.tiles[0]
        opened = list(opened_all([row for row in chosen if row.shape in (None, first)], settings.threads, stack))
        cases = list(_cases(exports, chosen, opened, settings, listener))
        # Who was refused in the first case is not looked at further.
        usable = [
            (each.candidate, each.backend)
            for each, row in zip(opened, cases[0]["rows"], strict=True)
            if row["refused"] is None and each.backend is not None
        ]
        # In tiles of several sizes, and in its first tile, what is loaded for one size is what it is without.
        free = [(candidate, backend) for candidate, backend in usable if not candidate.name.endswith(NAIVE_FIXED)]
        tile, overlap = settings.tiles[0], min(spec.overlap, settings.tiles[0] // 4)
        listener.status("pictures")
        restored = restore_all(_named(free), pictures, tile, overlap)
        grids = [
            (side, shared) for side in settings.tiles for shared in dict.fromkeys((0, min(spec.overlap, side // 4)))
        ]
        scores = accuracy(restored, usable[0][1], tile=tile, overlap=overlap, grids=grids)
        listener.status("photographs from file to file")
        for candidate, backend in usable:
            if candidate.prepared:
                backend.prepare((settings.batches[0], spec.channels, tile, tile))
        paths = whole_paths(
            _named(usable), pictures.pictures[0], tile=tile, overlap=overlap, batch=settings.batches[0],
            seconds=settings.seconds, tile_seconds=cases[0]["rows"][0]["speed"]["minimum"] / settings.batches[0],
        )  # fmt: skip
        stack.close()  # what is started anew has the machine, and a GPU's memory, for itself
        starts = []
        if settings.cold:
            starts = list(_starts([candidate for candidate, _ in free], settings, spec.channels, listener))
    result = ModelResult(
        name=checkpoint.source.name, architecture=str(spec.architecture), task=spec.task,
        parameters=sum(parameter.numel() for parameter in checkpoint.build().parameters()),
        weights_sha256=spec.weights_sha256 or "", cases=cases, starts=starts, paths=paths, accuracy=scores,
        absent=[
            *({"name": row.name, "reason": row.reason} for row in found if isinstance(row, Absent)),
            *({"name": f"{name}, on pictures", "reason": reason} for name, reason in restored.failed.items()),
        ],
    )  # fmt: skip
    return result, restored


def _named(backends: Sequence[tuple[Candidate, Backend]]) -> list[tuple[str, Backend]]:
    return [(candidate.name, backend) for candidate, backend in backends]


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


def opened_all(chosen: Sequence[Candidate], threads: int, stack: contextlib.ExitStack) -> Iterator[Opened]:
    """Each candidate, loaded until the stack closes, or with the reason why it could not be."""
    for candidate in chosen:
        try:
            backend = stack.enter_context(candidate.open(threads))
            backend.prepares_itself = False  # a row is one form of the model from its first call to its last
            yield Opened(candidate=candidate, backend=backend)
        except NafnetError as error:
            yield Opened(candidate=candidate, refused=str(error))
        except Exception as error:  # each library has its own family of errors, and the others are to be measured
            said = " ".join(f"{type(error).__name__}: {error}".split())
            yield Opened(candidate=candidate, refused=f"cannot be loaded ({said})")


def _cases(
    exports: Exports, chosen: Sequence[Candidate], opened: Sequence[Opened], settings: Settings, listener: Listener
) -> Iterator[CaseResult]:
    """Each tile and batch; what was made for one is loaded for that one, and gone after it."""
    channels = exports.checkpoint.spec.channels
    for tile in settings.tiles:
        for batch in settings.batches:
            shape = Shape(batch=batch, channels=channels, tile=tile)
            title = f"{batch} x {tile} x {tile}"
            listener.status(f"{title}: parity")
            earlier = settings.earlier.get(Key(exports.checkpoint.spec.weights_sha256 or "", tile, batch))
            with contextlib.ExitStack() as own:
                case = run_case(
                    list(_of_case((batch, tile), chosen, opened, settings.threads, own)), shape,
                    count(exports.counted(tile), shape.sizes), seconds=settings.seconds,
                    device=opened[0].candidate.device, on_parity=listener.on_parity,
                    on_round=functools.partial(_share, listener, title, _OR_MORE if earlier else ""),
                    go_on=suspects(earlier) if earlier else lambda _: False,
                )  # fmt: skip
            listener.on_case(case)
            yield case


def _of_case(
    case: tuple[int, int], chosen: Sequence[Candidate], opened: Sequence[Opened], threads: int,
    stack: contextlib.ExitStack,
) -> Iterator[Opened]:  # fmt: skip
    """Who takes part in a case, in the order of the rows; what is not open yet is until the stack closes."""
    known = {id(each.candidate): each for each in opened}
    for row in chosen:
        if row.shape in (None, case):
            yield known.get(id(row)) or next(opened_all([row], threads, stack))


def _share(listener: Listener, title: str, more: str, share: float) -> None:
    listener.status(f"{title}: {share:.0%}{more if share == 1 else ''} of the rounds")


def _starts(
    chosen: Sequence[Candidate], settings: Settings, channels: int, listener: Listener
) -> Iterator[StartResult]:
    shape = Shape(batch=settings.batches[0], channels=channels, tile=settings.tiles[0])
    for candidate in chosen:
        listener.status(f"{candidate.name}: started anew")
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
