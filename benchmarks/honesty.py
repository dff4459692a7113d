"""Whether the bench's verdicts can be trusted on this machine: ``python -m nafnet.benchmarks.honesty``.

Real backends are measured once as a baseline, and then again and again, with one of them made slower by a fifth and
with none. The first has to be found each time, the second never to be blamed on anybody.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from nafnet.benchmarks.bench import opened_all
from nafnet.benchmarks.candidate import Candidate
from nafnet.benchmarks.candidates import Wanted, rows
from nafnet.benchmarks.case import Opened, Shape, run_case
from nafnet.benchmarks.exports import Exports
from nafnet.benchmarks.regression import case_changes
from nafnet.benchmarks.results_file import CaseResult
from nafnet.benchmarks.roofline import Work, count
from nafnet.runtime.backends.base import Backend
from rich.console import Console
from rich.table import Table

from nafnet.checkpoint import load_checkpoint
from nafnet.commandline import exits
from nafnet.pretrained import bundled_model
from nafnet.wire import Batch


class Slower:
    """A backend that takes so much longer: it goes on computing nothing of use.

    Args:
        share: of each call's time.
    """

    def __init__(self, backend: Backend, share: float) -> None:
        self._backend, self._share = backend, share
        self._run = backend._run

    def __call__(self, batch: Batch) -> Batch:
        started = time.perf_counter()
        restored = self._run(batch)
        until = time.perf_counter() + self._share * (time.perf_counter() - started)
        while time.perf_counter() < until:
            np.abs(batch[0, 0])
        return restored


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--runs", default=10, show_default=True, type=click.IntRange(min=1))
@click.option("--seconds", default=20.0, show_default=True, help="Of each.")
@click.option("--tile", default=256, show_default=True)
@click.option("--share", default=0.2, show_default=True, help="By how much one is made slower.")
@click.option("--slow", default="openvino ours", show_default=True, help="Which.")
@click.option("--threads", default=2, show_default=True)
@exits
def main(runs: int, seconds: float, tile: int, share: float, slow: str, threads: int) -> int:
    """Print what was found in each run."""
    checkpoint = load_checkpoint(bundled_model(".safetensors"))
    table = Table("run", f"{slow}, {share:.0%} slower", "ratio", "blamed beside it", "unchanged: blamed", "ratio")
    caught = blamed = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        exports = Exports(checkpoint, Path(folder), "conv", 1)
        chosen = [row for row in rows(exports, Wanted()) if isinstance(row, Candidate)]
        opened = [each for each in opened_all(chosen, threads, stack) if "compile" not in each.candidate.name]
        shape = Shape(batch=1, channels=checkpoint.spec.channels, tile=tile)
        work = count(exports.naive().path, shape.sizes)
        baseline = _measure(opened, shape, work, seconds)
        (backend,) = [each.backend for each in opened if each.candidate.name == slow]
        assert backend is not None
        for number in range(1, runs + 1):
            cells, wrong = [], []
            for slower in (True, False):
                original = backend._run
                if slower:
                    backend._run = Slower(backend, share)  # type: ignore[method-assign]
                changes = list(case_changes("", baseline, _measure(opened, shape, work, seconds)))
                backend._run = original  # type: ignore[method-assign]
                regressed = {change.name for change in changes if change.regressed}
                ratio = next(change.ratio for change in changes if change.name == slow)
                wrong.append(regressed - {slow} if slower else regressed)
                caught += slower and slow in regressed
                cells += ["found" if slow in regressed else "missed", f"{ratio:.3f}"] if slower else [f"{ratio:.3f}"]
            blamed += bool(wrong[0] or wrong[1])
            table.add_row(str(number), *cells[:2], *(", ".join(sorted(each)) or "-" for each in wrong), cells[2])
    Console(width=120).print(table)
    print(f"found {caught} of {runs}; somebody blamed wrongly in {blamed} of {runs}")
    return 0 if caught == runs and not blamed else 1


def _measure(opened: list[Opened], shape: Shape, work: Work, seconds: float) -> CaseResult:
    return run_case(opened, shape, work, seconds=seconds, device="cpu")


if __name__ == "__main__":
    main()
