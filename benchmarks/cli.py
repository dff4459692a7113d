"""`nafnet-bench`: every backend on one model, parity first, then speed."""

from __future__ import annotations

import functools
import math
import re
from pathlib import Path
from typing import Any

import click

from nafnet.commandline import Command, exits
from nafnet.errors import MissingExtraError

SECONDS, SECONDS_IN_BRIEF = 20.0, 5.0
_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path)


def _numbers(_: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    if not re.fullmatch(r"[1-9]\d{0,4}(,[1-9]\d{0,4})*", value):
        raise click.BadParameter(
            f"{value!r}: expected whole numbers from 1 with commas between, as 1,4", param=parameter
        )
    return tuple(dict.fromkeys(int(part) for part in value.split(",")))


def _a_number(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):  # which lies in every range, by click
        raise click.BadParameter("nan: expected seconds", param=parameter)
    return value


@click.command(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path),
    help="A checkpoint; or an .onnx file or a plan exported from one of them. Repeatable.  [default: the denoiser]",
)  # fmt: skip
@click.option("--backend", "backends", multiple=True, help="Only this one, and the reference. Repeatable.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(["fp32", "tf32", "fp16", "bf16", "int8"]),
    help="Only this one. Repeatable.  [default: what runs natively here]",
)  # fmt: skip
@click.option(
    "--tile",
    "tiles",
    metavar="N,N,...",
    callback=_numbers,
    default="256",
    show_default=True,
    help="Sides of tiles, in pixels.",
)
@click.option(
    "--batch", "batches", metavar="N,N,...", callback=_numbers, default="1", show_default=True, help="Tiles at once."
)
@click.option(
    "--images", type=_FOLDER, help="Photographs to restore: the first 8 in it by name.  [default: samples with noise]"
)
@click.option("--truth", type=_FOLDER, help="The clean version of each, by name.")
@click.option(
    "--seconds", type=click.FloatRange(0, 86_400), callback=_a_number,
    help="For the counted rounds of each tile and batch.  [default: 20, with --quick 5]",
)  # fmt: skip
@click.option(
    "--norm",
    type=click.Choice(["rms", "conv", "fused", "manual"]),
    default="rms",
    show_default=True,
    help="Of our fp32 export.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores it may use]")
@click.option(
    "--malloc", type=click.Choice(["keep", "default"]),
    help="Whether the C library keeps freed memory for the next call, or gives it back as it does by default, with "
    "which PyTorch takes much longer.  [default: keep, where it can]",
)  # fmt: skip
@click.option(
    "--quick", is_flag=True,
    help="One table, in about a minute: PyTorch and our exports, without plain exports, pictures and cold starts.",
)  # fmt: skip
@click.option(
    "--profile", is_flag=True, help="Say where the time goes as well: by level, kind of operator and backend."
)
@click.option(
    "--crop", type=click.IntRange(min=32), metavar="N",
    help="Restore the middles of the pictures, of N pixels a side.  [default: the tile's, from 256 to 512]",
)  # fmt: skip
@click.option(
    "--memory", type=click.FloatRange(min=0.1), metavar="GB", default=2.0, show_default=True,
    help="Measure no more rows at a time than fit into it; the others come after them.",
)  # fmt: skip
@click.option("--no-cold", is_flag=True, help="Leave out cold starts, a process for each backend.")
@click.option("--json", "json_file", type=_FILE, help="Write the result here.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Write its tables here.")
@click.option("--html", "html_file", type=_FILE, help="Write it here as one page that needs no network.")
@click.option(
    "--baseline", "baselines", type=_FILE, multiple=True,
    help="An earlier --json: exit with 3 where a backend has become slower. Repeatable: machines have several states.",
)  # fmt: skip
@functools.partial(exits, interrupted="interrupted; nothing was written, and the next run begins again")
def main(**options: Any) -> int:
    """Compare every backend on a model: parity with PyTorch, then speed, start, memory and accuracy.

    A backend that does not match PyTorch is not timed. The others are called in turn, round after round, together
    with a matrix product and a copy that show what the machine could do; compare the smallest times.

    Exit codes: 0 done, 2 could not start, 3 a backend is slower than in --baseline, or no longer matches
    PyTorch, 4 none is, but some cannot be judged: the machine was in a state that no --baseline has seen.
    """
    try:
        from nafnet.benchmarks.command import BenchOptions, run
    except ImportError as error:
        raise MissingExtraError.of(error, "export") from error
    if options["seconds"] is None:
        options["seconds"] = SECONDS_IN_BRIEF if options["quick"] else SECONDS
    return run(BenchOptions(**options))
