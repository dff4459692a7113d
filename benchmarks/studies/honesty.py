"""Whether the bench's verdicts can be trusted on this machine: ``python -m nafnet.benchmarks.studies.honesty``.

Real backends are measured once as a baseline, for longer, and then again and again, with one of them made slower by a
fifth and with none, as `nafnet-bench --baseline` does. The first has to be found each time, the second never to be
blamed on anybody. Where neither can be told, for the machine is in a state that the baseline has not seen, another
baseline is measured and added, as the user is asked to, and the measurement repeated. As in real life each measurement
has a process of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from nafnet.allocator import keep_memory
from nafnet.benchmarks.bench import own_cache
from nafnet.benchmarks.loading import open_one
from nafnet.benchmarks.measure.case import Shape, run_case
from nafnet.benchmarks.measure.roofline import Work, count
from nafnet.benchmarks.results_file import CaseResult
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.verdict.regression import UNDECIDED, Change, case_changes, exit_code, suspects
from nafnet.checkpoint import load_checkpoint
from nafnet.commandline import exits
from nafnet.errors import UsageError
from nafnet.files import write_whole
from nafnet.pretrained import bundled_model
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.pending import Wired

SLOW = ("openvino ours", "onnxruntime ours", "torch channels-last")
MOST_BASELINES = 5
"""After these, what is undecided stays so, and counts as a fault."""


class Slower:
    """A backend that takes so much longer: it goes on computing nothing of use.

    Args:
        share: of each call's time.
    """

    def __init__(self, backend: Backend, share: float) -> None:
        self._backend, self._share = backend, share
        self._run = backend._run

    def __call__(self, batch: Wired) -> Wired:
        started = time.perf_counter()
        restored = self._run(batch)
        until = time.perf_counter() + self._share * (time.perf_counter() - started)
        while time.perf_counter() < until:
            np.square(batch[0, 0])
        return restored


@dataclasses.dataclass(kw_only=True)
class Repeated:
    """Measures again and again, each time in a process of its own, against a baseline that grows."""

    chosen: Sequence[Candidate]
    shape: Shape
    work: Work
    threads: int
    seconds: float
    baseline_seconds: float
    processes: ProcessPoolExecutor
    """Of one task each."""
    json_file: Path | None
    baseline: list[CaseResult] = dataclasses.field(default_factory=list)
    measured: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """All of them, in their order."""

    def measure(self, seconds: float, slower: tuple[str, float] | None = None) -> CaseResult:
        """Once; `slower` is as in `_measure`."""
        task = self.processes.submit(
            _measure, self.chosen, self.shape, self.work, self.threads, seconds, self.baseline, slower
        )
        case = task.result()
        self.measured.append({"slower": slower, "case": case})
        if self.json_file is not None:
            write_whole(self.json_file, json.dumps(self.measured).encode())
        return case

    def decided(self, slower: tuple[str, float] | None) -> list[Change]:
        """What has changed since the baseline, which is enlarged until that can be told."""
        while True:
            if self.baseline:
                changes = list(case_changes("", self.baseline, self.measure(self.seconds, slower)))
                if exit_code(changes) != UNDECIDED or len(self.baseline) == MOST_BASELINES:
                    return changes
            self.baseline.append(self.measure(self.baseline_seconds))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--runs", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--seconds", default=10.0, show_default=True, help="Of each; more where a row seems slower.")
@click.option("--baseline-seconds", default=120.0, show_default=True, help="Of each baseline.")
@click.option("--tile", default=256, show_default=True)
@click.option("--share", default=0.2, show_default=True, help="By how much one is made slower.")
@click.option("--slow", multiple=True, default=SLOW, show_default=True, help="Which, one a run, in turn.")
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Keep every round here, as it comes.")
@exits
def main(runs: int, tile: int, share: float, slow: tuple[str, ...], **options: Any) -> int:
    """Print what was found in each run."""
    checkpoint = load_checkpoint(bundled_model(".safetensors"))
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes,
    ):
        exports = Exports(checkpoint, Path(folder), "rms")
        chosen = [row for row in rows(exports, Wanted()) if isinstance(row, Candidate) and "compile" not in row.name]
        if unknown := set(slow) - {row.name for row in chosen}:
            raise UsageError(f"--slow {min(unknown)}: no such row here; expected {', '.join(x.name for x in chosen)}")
        shape = Shape(batch=1, channels=checkpoint.spec.channels, tile=tile)
        work = count(exports.naive().path, shape.sizes)
        repeated = Repeated(chosen=chosen, shape=shape, work=work, processes=processes, **options)
        return _report(repeated, list(itertools.islice(itertools.cycle(slow), runs)), share)


def _report(repeated: Repeated, slow: Sequence[str], share: float) -> int:
    """Make each slower in turn, and print what was found; returns the exit code."""
    table = Table("run", f"{share:.0%} slower", "found", "ratio", "blamed beside it", "unchanged: blamed", "ratio")
    caught = blamed = undecided = 0
    for number, name in enumerate(slow, 1):
        slower, same = repeated.decided((name, share)), repeated.decided(None)
        found = {change.name for change in slower if change.regressed}
        wrong = [found - {name}, {change.name for change in same if change.regressed}]
        ratios = [_ratio(changes, name) for changes in (slower, same)]
        caught, blamed = caught + (name in found), blamed + any(wrong)
        undecided += UNDECIDED in map(exit_code, (slower, same))
        said = [", ".join(sorted(each)) or "-" for each in wrong]
        table.add_row(str(number), name, "yes" if name in found else "MISSED", ratios[0], *said, ratios[1])
    Console(width=140).print(table)
    print(
        f"found {caught} of {len(slow)}; somebody blamed wrongly in {blamed} of {len(slow)}, undecided {undecided}; "
        f"{len(repeated.baseline)} baselines, {len(repeated.measured)} measurements"
    )
    return 0 if caught == len(slow) and not blamed and not undecided else 1


def _ratio(changes: Sequence[Change], name: str) -> str:
    found = [change.ratio for change in changes if change.name == name and change.ratio is not None]
    return f"{found[0]:.3f}" if found else "-"


def _measure(
    chosen: Sequence[Candidate],
    shape: Shape,
    work: Work,
    threads: int,
    seconds: float,
    earlier: Sequence[CaseResult],
    slower: tuple[str, float] | None,
) -> CaseResult:
    """One measurement of backends that are opened for it.

    Args:
        earlier: the baseline: rounds go on where a row seems slower than there.
        slower: the row that takes so much longer, and by which share.
    """
    keep_memory()  # as nafnet-bench does
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_cache(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        opened = [open_one(each, threads, stack) for each in chosen]
        for each in opened:
            if slower is not None and each.candidate.name == slower[0] and each.backend is not None:
                each.backend._run = Slower(each.backend, slower[1])  # type: ignore[method-assign,assignment]  # of this object, not its class
        return run_case(
            opened, shape, work, seconds=seconds, device=opened[0].candidate.device, go_on=suspects(earlier)
        )


if __name__ == "__main__":
    main()
