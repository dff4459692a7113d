"""What a folder costs beyond the model: ``python -m nafnet.benchmarks.studies.folder``.

Times `Pipeline` over a folder of photographs of about 2 megapixels, from files to files, against the model alone
on the very same tiles in memory, alternately in one process.
"""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import as_8bit, photographs, with_gaussian_noise
from nafnet.benchmarks.timing import alternate
from nafnet.commandline import exits
from nafnet.images.file import ImageFile, read_image, write_image
from nafnet.images.formats import Format
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.outputs import make_folders
from nafnet.runtime.paths.standing import Judge
from nafnet.runtime.paths.work import Request, Work, find_work
from nafnet.tiling import cut_tiles, plan_tiles

HEIGHT, WIDTH = 1200, 1700


def write_folder(folder: Path, file_format: Format, suffix: str, count: int) -> None:
    """`count` noisy photographs of HEIGHT x WIDTH, made by mirroring and repeating the sample photographs."""
    for index, (name, clean) in enumerate(itertools.islice(itertools.cycle(photographs()), count)):
        repeats = [(0, max(size - have, 0)) for size, have in zip((HEIGHT, WIDTH), clean.shape[:2], strict=True)]
        large = np.pad(clean, [*repeats, (0, 0)], mode="symmetric")[:HEIGHT, :WIDTH]
        pixels = as_8bit(with_gaussian_noise(large, 15, index))
        image = ImageFile(pixels=pixels, alpha=None, format=file_format, lossless=True)
        write_image(folder / f"{index:02d}-{name}{suffix}", image)


def _whole_folder(restorer: Restorer, work: Work) -> None:
    rows = Pipeline(restorer, work.jobs, outputs=work.outputs, judge=Judge(None, overwrite=True)).run()
    assert all(row.status == "restored" for row in rows)


def _model_alone(restorer: Restorer, tiles: list[NDArray[np.float32]]) -> None:
    for tile in tiles:
        restorer.backend(tile)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--count", default=20, show_default=True, type=click.IntRange(min=1), help="Photographs in the folder.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@exits
def main(count: int, rounds: int) -> int:
    """Print the ratio for JPEG and for PNG."""
    table = Table("format", "files", "folder, s", "model alone, s", "ratio of minima", "MP/s", title="Folder")
    formats: tuple[tuple[Format, str], ...] = (("jpeg", ".jpg"), ("png", ".png"))
    for file_format, suffix in formats:
        with tempfile.TemporaryDirectory() as folder, Restorer.load() as restorer:
            source, target = Path(folder, "in"), Path(folder, "out")
            source.mkdir()
            write_folder(source, file_format, suffix, count)
            work = find_work(Request(inputs=[source], output=target))
            make_folders(work.folders)
            tiles = _tiles(restorer, [read_image(job.source) for job in work.jobs])
            _model_alone(restorer, tiles[:60])
            pipeline, alone = alternate(
                [partial(_whole_folder, restorer, work), partial(_model_alone, restorer, tiles)],
                seconds=0, min_rounds=rounds, warm=False,
            )  # fmt: skip
        ratio, speed = pipeline.minimum / alone.minimum, count * HEIGHT * WIDTH / 1e6 / pipeline.minimum
        table.add_row(
            file_format, str(count), f"{pipeline.minimum:.2f}", f"{alone.minimum:.2f}", f"{ratio:.3f}", f"{speed:.2f}"
        )
    Console(width=100).print(table)
    return 0


def _tiles(restorer: Restorer, images: list[ImageFile]) -> list[np.ndarray]:
    """float32[1,3,h,w] of every tile the pipeline will run."""
    tiles = []
    for image in images:
        height, width = image.pixels.shape[:2]
        plan = plan_tiles(height, width, tile=restorer.tile, overlap=restorer.overlap, multiple=restorer.spec.multiple)
        planes = (image.pixels.transpose(2, 0, 1) / np.float32(255)).astype(np.float32)
        tiles += [np.ascontiguousarray(tile)[None] for tile in cut_tiles(planes, plan)]
    return tiles


if __name__ == "__main__":
    main()
