"""What a run would do and take, from the headers alone: `--dry-run`, and the memory that `--verbose` prints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import click
import numpy as np

from nafnet.errors import ImageError
from nafnet.runtime.engine.memory import available_bytes
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.job import Job
from nafnet.runtime.folder.memory import file_bytes
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.words import counted

Say = Callable[[str], None]
"""Prints a line."""


def print_plan(restorer: Restorer, jobs: Sequence[Job], limits: Limits, encoding: Encoding, say: Say) -> int:
    """Print a line for each file and one for the run; returns the exit code, 1 if a file cannot be restored."""
    tiles = megapixels = most_memory = failed = 0
    with Decoder(limits) as decoder:
        for job in jobs:
            try:
                header = decoder.header(job.source)
                target = header.converted(job.format or encoding.format, encoding.bits)
            except ImageError as error:
                message = str(error)
                click.echo(message if str(job.source) in message else f"{job.source}: {message}", err=True)
                failed += 1
                continue
            plan = restorer.plan(header.height, header.width)
            height, width = plan.tile_shape
            memory = file_bytes(restorer, header)
            most_memory = max(most_memory, memory)
            tiles += plan.count * (header.channels if restorer.spec.channels == 1 else 1)
            megapixels += header.width * header.height
            say(
                f"{job.source} -> {job.target}: {header.width}x{header.height} {header.format} {header.pixel_type} -> "
                f"{target.format} {target.pixel_type}, {counted(plan.count, 'tile')} of {width}x{height}, "
                f"{memory / 2**20:.0f} MB"
            )
    seconds = _seconds_per_tile(restorer) * tiles
    say(
        f"{counted(len(jobs) - failed, 'file')}, {megapixels / 1e6:.1f} MP, {counted(tiles, 'tile')}, about "
        f"{most_memory / 2**20:.0f} MB at most, about {seconds:.0f} s on {restorer.backend.description}"
        + (f"; {failed} would fail" if failed else "")
    )
    return 1 if failed else 0


def print_memory(restorer: Restorer, jobs: Sequence[Job], limits: Limits, say: Say) -> None:
    """Print the most memory that one image will take, and what there is."""
    most, where = 0, None
    with Decoder(limits) as decoder:
        for job in jobs:
            with contextlib.suppress(ImageError):  # it will be said when its turn comes
                memory = file_bytes(restorer, decoder.header(job.source))
                most, where = max((most, where), (memory, job.source), key=lambda pair: pair[0])
    available = available_bytes()
    there_is = f"; {available / 2**20:.0f} MB are available" if available else ""
    say(f"memory: about {most / 2**20:.0f} MB beside the model, for {where}{there_is}")


def _seconds_per_tile(restorer: Restorer) -> float:
    """The faster of three full tiles, after one to warm up."""
    tile = np.zeros((1, restorer.spec.channels, restorer.tile, restorer.tile), np.float32)
    restorer.backend(tile)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        restorer.backend(tile)
        took.append(time.perf_counter() - started)
    return min(took)
