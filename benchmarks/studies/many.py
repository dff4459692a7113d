"""A long run over small and large pictures together: ``python -m nafnet.benchmarks.studies.many``.

Is memory flat after a while, do threads and open files stay constant, and what does the folder cost beyond the model?
The model alone runs tiles of the very shapes that the folder needs, in the same order, in turn with the folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import as_8bit, photographs, with_gaussian_noise
from nafnet.benchmarks.studies.folder import write_folder
from nafnet.benchmarks.watched import Sample, watch
from nafnet.commandline import exits
from nafnet.images.file import ImageFile, read_header, write_image
from nafnet.runtime.engine.restorer import Restorer


def write_small(folder: Path, count: int, sides: tuple[int, int]) -> None:
    """JPEGs with sides between two lengths, in pixels, cut from noisy photographs."""
    generator = np.random.default_rng(0)
    noisy = [as_8bit(with_gaussian_noise(clean, 15, index)) for index, (_, clean) in enumerate(photographs())]
    for index in range(count):
        source = noisy[index % len(noisy)]
        height, width = (int(generator.integers(sides[0], min(sides[1], side) + 1)) for side in source.shape[:2])
        top, left = (
            int(generator.integers(0, have - want + 1))
            for have, want in zip(source.shape, (height, width), strict=False)
        )
        pixels = np.ascontiguousarray(source[top : top + height, left : left + width])
        image = ImageFile(pixels=pixels, alpha=None, format="jpeg", lossless=False)
        write_image(folder / f"small-{index:05}.jpg", image)


def model_alone(shapes: list[tuple[int, int]]) -> float:
    """Seconds for tiles of these shapes in this order, and nothing else; to change the shape costs a backend time."""
    generator = np.random.default_rng(0)
    tiles = {shape: generator.random((1, 3, *shape), np.float32) for shape in set(shapes)}
    with Restorer.load() as restorer:
        started = time.perf_counter()
        for shape in shapes:
            restorer.backend(tiles[shape])
        return time.perf_counter() - started


def tile_shapes(folder: Path) -> tuple[list[tuple[int, int]], float]:
    """The shapes of the tiles that a folder needs, in the order of its names, and its megapixels."""
    shapes: list[tuple[int, int]] = []
    pixels = 0
    with Restorer.load() as restorer:
        for path in sorted(folder.iterdir()):
            header = read_header(path)
            plan = restorer.plan(header.height, header.width)
            shapes += [plan.tile_shape] * plan.count
            pixels += header.height * header.width
    return shapes, pixels / 1e6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--small", default=5000, show_default=True, type=click.IntRange(min=1))
@click.option("--large", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--sides", nargs=2, default=(64, 256), show_default=True, type=int, help="Of the small ones, in pixels.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(min=1))
@exits
def main(small: int, large: int, sides: tuple[int, int], rounds: int) -> int:
    """Print memory, threads and files by time, and the speed against the model alone."""
    console = Console(width=100)
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "in")
        source.mkdir()
        write_small(source, small, sides)
        write_folder(source, "jpeg", ".jpg", large)
        shapes, megapixels = tile_shapes(source)
        walls, alones, samples = [], [], []
        for index in range(rounds):
            report = Path(place, "report.json")
            command: list[str | Path] = [
                Path(sys.executable).with_name("nafnet-run"),
                "--quiet",
                "--report",
                report,
                source,
            ]
            seen = watch([*command, Path(place, f"out-{index}")])
            if seen.code:
                raise RuntimeError(seen.output)
            walls.append(json.loads(report.read_text(encoding="utf-8"))["totals"]["seconds"]["wall"])
            samples = seen.samples
            alones.append(model_alone(shapes))
    console.print(_by_time(samples))
    ratio = min(alones) / min(walls)
    console.print(
        f"{small} files of {sides[0]} to {sides[1]} pixels a side and {large} of 2 MP, {megapixels:.1f} MP, "
        f"{len(shapes)} tiles of {len(set(shapes))} shapes: "
        f"{megapixels / min(walls):.2f} MP/s, the model alone {megapixels / min(alones):.2f} MP/s, ratio {ratio:.3f}",
        highlight=False,
    )
    return 0


def _by_time(samples: list[Sample]) -> Table:
    table = Table("from, s", "peak memory, MB", "threads", "open files", title="The last run, in tenths")
    length = samples[-1].seconds / 10
    for tenth in range(10):
        part = [sample for sample in samples if tenth * length <= sample.seconds < (tenth + 1) * length] or samples[-1:]
        table.add_row(
            f"{tenth * length:.0f}", f"{max(sample.megabytes for sample in part):.0f}",
            "-".join(map(str, sorted({min(s.threads for s in part), max(s.threads for s in part)}))),
            "-".join(map(str, sorted({min(s.files for s in part), max(s.files for s in part)}))),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
