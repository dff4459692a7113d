"""Memory and time of images larger than most: ``python -m nafnet.benchmarks.studies.large``.

Each size is restored by `nafnet-run` in a process of its own, which is watched; the time is that of the run alone,
from its report, in seconds for each megapixel.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import as_8bit, photographs, with_gaussian_noise
from nafnet.benchmarks.watched import watch
from nafnet.commandline import exits
from nafnet.images.formats import Format
from nafnet.images.header import Header
from nafnet.images.writer import ImageWriter


def write_large(path: Path, side: int, file_format: Format) -> None:
    """A square picture of noisy photographs side by side, written in bands."""
    _, clean = next(iter(photographs()))
    block = as_8bit(with_gaussian_noise(clean, 15, 0))
    repeats = math.ceil(side / block.shape[1])
    header = Header(
        width=side, height=side, format=file_format, channels=3, alpha=False, pixel_type="uint8", bits=8,
        lossless=True,
    )  # fmt: skip
    band = np.tile(block, (1, repeats, 1))[:, :side]
    with ImageWriter(path, header) as writer:
        for start in range(0, side, len(band)):
            writer.write(band[: side - start])
        writer.finish()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--megapixels", multiple=True, type=int, default=(25, 100, 400), show_default=True)
@click.option("--format", "file_format", type=click.Choice(["jpeg", "png", "tiff"]), default="jpeg", show_default=True)
@exits
def main(megapixels: tuple[int, ...], file_format: Format) -> int:
    """Print peak memory and seconds for each megapixel."""
    columns = ("megapixels", "peak of all, MB", "largest process, MB", "wall, s", "s/MP", "against the first")
    table = Table(*columns, title=f"Large images, {file_format}")
    first = 0.0
    program = Path(sys.executable).with_name("nafnet-run")
    for size in megapixels:
        with tempfile.TemporaryDirectory() as folder:
            source, target, report = (Path(folder, name) for name in ("in", "out", "report.json"))
            source.mkdir()
            write_large(source / f"large.{file_format}", math.isqrt(size * 10**6), file_format)
            seen = watch([program, "--quiet", "--report", report, source, target])
            if seen.code:
                raise RuntimeError(seen.output)
            wall = json.loads(report.read_text(encoding="utf-8"))["totals"]["seconds"]["wall"]
        rate = wall / size
        first = first or rate
        table.add_row(
            str(size), f"{seen.peak:.0f}", f"{seen.largest_process:.0f}", f"{wall:.1f}", f"{rate:.4f}",
            f"{rate / first - 1:+.1%}",
        )  # fmt: skip
        Console(width=100).print(f"{size} MP: {rate:.4f} s/MP, {seen.peak:.0f} MB", highlight=False)
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    main()
