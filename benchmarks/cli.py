"""`nafnet-bench`: every backend on one model, parity first, then speed."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nafnet.commandline import exits
from nafnet.errors import MissingExtraError, UsageError
from nafnet.pretrained import bundled_model

if TYPE_CHECKING:
    from rich.table import Table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", type=click.Path(path_type=Path), help="A checkpoint.  [default: the bundled denoiser]")
@click.option("--size", type=click.IntRange(min=1), default=256, show_default=True, help="Side of the tile, in pixels.")
@click.option("--norm", type=click.Choice(["conv", "fused"]), default="conv", show_default=True, help="Of our export.")
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Counted calls of each row.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the results here.")
@exits
def main(
    model: Path | None,
    size: int,
    norm: Literal["conv", "fused"],
    rounds: int,
    threads: int | None,
    json_file: Path | None,
) -> int:
    """Compare every backend installed here on one model: parity with PyTorch, then time per tile, alternated."""
    try:
        from nafnet.benchmarks.candidates import candidates
        from nafnet.benchmarks.machine import describe_machine
        from nafnet.benchmarks.timing import alternate
        from nafnet.export.cases import picture

        from nafnet.checkpoint import load_checkpoint
        from nafnet.files import write_whole
        from nafnet.metrics import psnr
    except ImportError as error:
        raise MissingExtraError(str(error.name), "export") from error
    from rich.console import Console

    checkpoint = load_checkpoint(model or bundled_model(".safetensors"))
    spec = checkpoint.spec
    if size % spec.multiple:
        raise UsageError(f"--size {size}: expected a multiple of {spec.multiple}, which this model needs")
    console = Console()
    cores = threads or os.cpu_count() or 1
    console.print(
        f"{checkpoint.source.name}: {spec.architecture}, {size}x{size}, fp32, {cores} threads", highlight=False
    )
    with tempfile.TemporaryDirectory() as folder:
        with console.status("exporting"):
            rows = list(candidates(checkpoint, Path(folder), norm=norm, threads=cores, size=size))
        tile = picture(1, spec.channels, size, size)
        expected = rows[0].run(tile)
        results: list[dict[str, Any]] = []
        for row in rows:
            given = row.run(tile)
            results.append({
                "name": row.name,
                "psnr_to_torch": min(round(psnr(given, expected, peak=1.0), 2), 200.0),
                "max_abs": float(abs(given - expected).max()),
            })  # fmt: skip
        console.print(_parity_table(results))
        with console.status(f"timing, {rounds} rounds"):
            timings = alternate([functools.partial(row.run, tile) for row in rows], rounds=rounds)
    for result, timing in zip(results, timings, strict=True):
        result["milliseconds"] = {"min": 1e3 * timing.minimum, "median": 1e3 * timing.median}
        result["megapixels_per_second"] = size * size / 1e6 / timing.minimum
        result["speed_ratio_to_torch_eager"] = timings[0].minimum / timing.minimum
    console.print(_speed_table(results))
    if json_file:
        settings = {"model": spec.to_json(), "size": size, "norm": norm, "rounds": rounds, "threads": cores}
        content = {"machine": describe_machine(), "settings": settings, "results": results}
        write_whole(json_file, json.dumps(content, indent=2).encode())
    return 0


def _parity_table(results: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("", "PSNR to torch eager, dB", "largest difference", title="Parity")
    for result in results[1:]:
        table.add_row(result["name"], f"{result['psnr_to_torch']:.1f}", f"{result['max_abs']:.1e}")
    return table


def _speed_table(results: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("", "min, ms", "median, ms", "MP/s", "x torch eager", title="Speed, one tile at a time")
    for result in results:
        milliseconds = result["milliseconds"]
        table.add_row(
            result["name"],
            f"{milliseconds['min']:.1f}",
            f"{milliseconds['median']:.1f}",
            f"{result['megapixels_per_second']:.3f}",
            f"{result['speed_ratio_to_torch_eager']:.2f}",
        )
    return table
