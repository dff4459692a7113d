"""``python -m nafnet.benchmarks.gpu_day FOLDER``."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

import click

import nafnet
from nafnet.benchmarks.gpu_day.runner import Step, run_step
from nafnet.benchmarks.gpu_day.steps import FORMATS, RANDOM, Day, engines_at_hand, table
from nafnet.benchmarks.machine import describe_machine
from nafnet.benchmarks.report.day import DayResult, write_day
from nafnet.commandline import exits
from nafnet.errors import BackendError
from nafnet.pretrained import bundled_model
from nafnet.runtime.backends import presence
from nafnet.steps import Display
from nafnet.words import lasting

QUICK_TILE = 64
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--network", "networks", multiple=True, type=_FILE,
    help="A checkpoint. Repeatable.  [default: the denoiser, and width 32 with random weights]",
)  # fmt: skip
@click.option(
    "--engine", "engines", multiple=True, type=click.Choice(tuple(FORMATS)), help="Repeatable.  [default: all here]"
)
@click.option("--images", type=click.Path(path_type=Path, exists=True), help="As of nafnet-bench.")
@click.option("--limit", default=45.0, show_default=True, type=click.FloatRange(min=0), help="Minutes of a step.")
@click.option("--quick", is_flag=True, help="One small tile, fp32, no tests: whether all of it runs at all.")
@exits
def main(
    folder: Path, networks: tuple[Path, ...], engines: tuple[str, ...], images: Path | None, limit: float, quick: bool
) -> int:
    """Do all that a machine with a GPU is first wanted for, and write FOLDER/day.html and FOLDER/day.json.

    What fails is told, and the rest goes on. Exit codes: 0 all done, 1 something failed, 2 could not start.
    """
    if missing := presence.no_cuda():
        raise BackendError(f"{missing}: this command is for a machine with a GPU")
    folder = folder.absolute()
    known = networks or (
        bundled_model(".safetensors"), folder / "networks" / f"random-{RANDOM.rpartition('/')[2]}.safetensors"
    )  # fmt: skip
    day = Day(
        folder=folder, networks=tuple(path.absolute() for path in known), engines=engines or engines_at_hand(),
        random=not networks, tests=_checkout(), images=images and images.absolute(),
    )  # fmt: skip
    if quick:
        day = dataclasses.replace(
            day, precisions=("fp32",), tiles=(QUICK_TILE,), batches=(1,), seconds=0.2, tests=None, quick=True
        )
    return run_all(list(table(day)), folder, 60 * limit)


def run_all(steps: Iterable[Step], folder: Path, limit: float) -> int:
    """Run the steps, each for `limit` seconds at most; the result is written after each, as the next may be the last.

    Returns:
        1 where one failed.
    """
    steps = list(steps)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    result = DayResult(version=1, date=time.strftime("%Y-%m-%d", time.gmtime()), machine=describe_machine(), steps=[])
    with Display() as display:
        for number, step in enumerate(steps, 1):
            place = f"{number} of {len(steps)}"
            entry = run_step(step, folder / "logs" / f"{number:02}.txt", limit, place, display.step)
            result["steps"].append(entry)
            why = f": {entry['error']}" if entry["error"] else ""
            display.say(f"{place}: {step.group}, {step.title}: {entry['status']}, {lasting(entry['seconds'])}{why}")
            write_day(folder, result)
        failed = [entry for entry in result["steps"] if entry["status"] == "failed"]
        for entry in failed:
            display.say(f"failed: {entry['group']}, {entry['title']}: {entry['error']}")
        display.say(f"{len(failed)} of {len(steps)} steps failed; see {folder / 'day.html'}")
    return 1 if failed else 0


def _checkout() -> Path | None:
    """Where the tests are, if this is no wheel."""
    root = Path(nafnet.__path__[0]).parent
    return root if (root / "tests" / "test_structure.py").is_file() else None


if __name__ == "__main__":
    main()
