"""`nafnet-run --dry-run`: what a run would do, from the headers alone, and a guess at the time from a few tiles."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import numpy as np
from nafnet.runtime.decoding import Decoder
from nafnet.runtime.discovery import Job
from nafnet.runtime.memory import image_bytes, inference_bytes
from nafnet.runtime.restorer import Restorer
from nafnet.runtime.settings import Limits, Output

from nafnet.errors import ImageError


def print_plan(restorer: Restorer, jobs: Sequence[Job], limits: Limits, output: Output) -> int:
    """Print a line for each file and one for the run; returns the exit code, 1 if a file cannot be restored."""
    tiles = megapixels = most_memory = failed = 0
    with Decoder(limits) as decoder:
        for job in jobs:
            try:
                header = decoder.header(job.source)
                target = header.converted(job.format or output.format, output.bits)
            except ImageError as error:
                message = str(error)
                click.echo(message if str(job.source) in message else f"{job.source}: {message}", err=True)
                failed += 1
                continue
            plan = restorer.plan(header.height, header.width)
            height, width = plan.tile_shape
            memory = image_bytes(header, plan) + inference_bytes(restorer.spec, height, width) * restorer.batch
            most_memory = max(most_memory, memory)
            tiles += plan.count * (header.channels if restorer.spec.channels == 1 else 1)
            megapixels += header.width * header.height
            click.echo(
                f"{job.source} -> {job.target}: {header.width}x{header.height} {header.format} {header.pixel_type} -> "
                f"{target.format} {target.pixel_type}, {plan.count} tiles of {width}x{height}, {memory / 2**20:.0f} MB"
            )
    seconds = _seconds_per_tile(restorer) * tiles
    click.echo(
        f"{len(jobs) - failed} files, {megapixels / 1e6:.1f} MP, {tiles} tiles, about {most_memory / 2**20:.0f} MB at "
        f"most, about {seconds:.0f} s on {restorer.backend.description}" + (f"; {failed} would fail" if failed else "")
    )
    return 1 if failed else 0


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
