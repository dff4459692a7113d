"""`nafnet-train compare RUN...`: the study's table, from what runs wrote down."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from nafnet.errors import CheckpointError, DataError
from nafnet.progress import PlainConsole
from nafnet.train.recipes.recipe import images_until
from nafnet.train.run.curves import evaluations, held_out_means, turning_point
from nafnet.train.run.evaluation_sets import TRAIN
from nafnet.train.run.run_record import read_record
from nafnet.words import printable

COLUMNS = (
    "recipe", "parameters, M", "images", "epochs", "steps", "best at", "PSNR, dB", "SSIM",
    "PSNR at the end, dB", "train at the end, dB", "gap, dB", "turns at",
)  # fmt: skip


def print_comparison(runs: Sequence[Path], *, as_csv: bool = False) -> int:
    """Print a row for each run; returns the exit code, 1 where a folder holds no run that was evaluated."""
    rows, failed = [], 0
    for run in runs:
        try:
            rows.append(comparison_row(run))
        except DataError as error:
            click.echo(printable(f"nafnet-train: {error}"), err=True)
            failed = 1
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([COLUMNS, *rows])
    elif rows:
        table = Table(*COLUMNS)
        for row in rows:
            table.add_row(*row)
        PlainConsole(width=None if sys.stdout.isatty() else 160).print(table)
    return failed


def comparison_row(run: Path) -> list[str]:
    """The cells of one run, in the order of `COLUMNS`. "gap" is training less validation at the end, in PSNR.

    Raises:
        DataError: no run, or none that was evaluated yet.
    """
    try:
        record = read_record(run)
        name, images = str(record["recipe"]["name"]), int(record["data"]["parts"][TRAIN]["images"])
        parameters = int(record["parameters"])
    except (CheckpointError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run}: no run of nafnet-train ({error})") from error
    series = evaluations(run)
    held_out = held_out_means(series) or series.get(TRAIN, {})
    if not held_out:
        raise DataError(f"{run}: not evaluated yet; give the command of this run again, and it goes on")
    best, last = max(held_out, key=lambda step: held_out[step]["psnr"]), max(held_out)
    trained = series[TRAIN][last]["psnr"]
    turn = turning_point(series)
    return [
        name, f"{parameters / 1e6:.2f}", str(images), f"{_epochs(record, last):.1f}",
        str(last), str(best), f"{held_out[best]['psnr']:.2f}", f"{held_out[best]['ssim']:.4f}",
        f"{held_out[last]['psnr']:.2f}",
        f"{trained:.2f}", f"{trained - held_out[last]['psnr']:+.2f}", "-" if turn is None else str(turn),
    ]  # fmt: skip


def _epochs(record: dict[str, Any], step: int) -> float:
    """How often the run had been through its examples, of which a crop makes several of an image."""
    images = record["data"]["parts"][TRAIN]["images"]
    stages = record.get("stages") or [(0, 0, record["recipe"]["loop"]["batch"])]
    return images_until(stages, step) / int(record.get("examples") or images)
