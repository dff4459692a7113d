"""What `nafnet-train RECIPE` does, with its options checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from nafnet.allocator import keep_memory
from nafnet.errors import UsageError
from nafnet.progress import LoggedProgress
from nafnet.train.processes.distributed import joined
from nafnet.train.processes.signals import StopRequest
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.recipe_files import with_steps
from nafnet.train.run.kept import LAST
from nafnet.train.run.loop import MachineOptions, Run
from nafnet.train.run.run_data import DataSource, check_source
from nafnet.train.run.run_record import begun_with_warm_up
from nafnet.train.run.tested import TestedOptions, tell_of
from nafnet.train.run.validation import BEST
from nafnet.train.run.weights import initial_weights
from nafnet.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of the command; see its help."""

    root: Path | None
    degraded: Path | None
    target: Path | None
    clean: tuple[Path, ...]
    skip_bad: bool
    initial: Path | None
    output: Path | None
    device: str
    threads: int | None
    workers: int | None
    compiled: bool
    quiet: bool
    steps: int | None = None
    """In place of the recipe's."""
    overrides: tuple[str, ...] = ()
    """What `--set` changed in the recipe already."""

    @property
    def source(self) -> DataSource:
        """Where the pairs, or the clean photographs, are.

        Raises:
            UsageError: options that do not go together.
        """
        found = source_of_pairs(self.root, self.degraded, self.target, skip_bad=self.skip_bad)
        if self.clean and found.root:
            raise UsageError("--clean does not go with --data, nor with --input and --target; give one or the other")
        return dataclasses.replace(found, clean=self.clean)


def source_of_pairs(root: Path | None, degraded: Path | None, target: Path | None, *, skip_bad: bool) -> DataSource:
    """Where pairs are, by the options --data, --input and --target.

    Raises:
        UsageError: options that do not go together.
    """
    if root and (degraded or target):
        raise UsageError("--data does not go with --input and --target; give one or the other")
    if bool(degraded) != bool(target):
        raise UsageError("--input and --target go together; give both")
    return DataSource(root=root or degraded, target=target, skip_bad=skip_bad)


def run(recipe: Recipe, options: TrainOptions) -> int:
    """Train; returns the exit code."""
    asked = StopRequest()
    asked.listen()
    source = options.source
    check_source(recipe, source)  # before all else: what else is wrong with the options may not matter then
    note = None
    if options.steps:
        begun = begun_with_warm_up(options.output or Path("runs", recipe.name))
        recipe, note = with_steps(recipe, options.steps, options.overrides, begun)
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.output or Path("runs", recipe.name)
    with (
        joined(options.device) as world,
        LoggedProgress(quiet=options.quiet or not world.leads) as progress,
    ):
        if world.device.type == "cpu":
            keep_memory()

        def say(line: str) -> None:
            if world.leads and not options.quiet:
                progress.console.print(line, soft_wrap=True)

        if note:
            say(note)
        workers = options.workers if options.workers is not None else (4 if world.device.type == "cuda" else 0)
        machine = MachineOptions(workers=workers, compiled=options.compiled)
        initial = initial_weights(options.initial, recipe) if options.initial else None
        outcome = Run(recipe, folder, world, machine, say, initial).train(source, progress, asked)
        early = ", early, for validation got no better" if outcome.early else ""
        best = folder / BEST
        if outcome.best_step < 0:
            say(f"{recipe.name}: {counted(outcome.step, 'step')}, never evaluated; the newest weights: {folder / LAST}")
            return 0
        say(
            f"{recipe.name}: {counted(outcome.step, 'step')}{early}; best after {outcome.best_step}, "
            f"{outcome.best_psnr:.2f} dB: {best}"
        )
        longer = "--set evaluation.patience=0" if outcome.early else f"--steps {outcome.step * 3 // 2}"
        say(f"to train it for longer: the same command with {longer}")
        say(f"to restore photographs with it: nafnet-run --model {best} PHOTOGRAPHS OUTPUT")
    return 0


def test(
    model: Path, source: DataSource, options: TestedOptions, device: str, threads: int | None, *, quiet: bool
) -> int:
    """Test a run or a checkpoint; returns the exit code."""
    if source.root is None:
        raise UsageError("the test needs its pictures: give --data FOLDER, or --input DIR --target DIR")
    if threads:
        torch.set_num_threads(threads)
    with joined(device) as world, LoggedProgress(quiet=quiet) as progress:

        def say(line: str) -> None:
            if not quiet:
                progress.console.print(line, soft_wrap=True)

        tell_of(model, source, options, world.device, progress, say)
    return 0
