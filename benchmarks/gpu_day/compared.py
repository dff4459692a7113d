"""One artefact on one backend against its checkpoint in PyTorch on the CPU, as `Restorer` runs both, on a picture.

``python -m nafnet.benchmarks.gpu_day.compared MODEL CHECKPOINT --backend NAME``
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from nafnet.commandline import exits
from nafnet.difference import difference
from nafnet.errors import ParityError
from nafnet.export.gate.cases import picture
from nafnet.runtime import Restorer

TIMES = 4
"""The picture is restored: the last of them by a graph."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--backend", required=True)
@exits
def main(model: Path, checkpoint: Path, backend: str) -> int:
    """Restore a picture with MODEL and with CHECKPOINT, and compare them by the gate of MODEL's precision."""
    with Restorer.load(model, backend=backend, say=click.echo) as restorer:
        tile, overlap, precision = restorer.tile, restorer.overlap, restorer.spec.precision
        side = 2 * tile - overlap  # four whole tiles: cut otherwise, they would be another comparison
        given = np.rint(255 * picture(1, restorer.spec.channels, side, side)[0]).astype(np.uint8).transpose(1, 2, 0)
        click.echo(f"{restorer.backend.description}: {side} x {side}, tiles of {tile}")
        restored = [_timed(restorer, given) for _ in range(TIMES)][-1]
    with Restorer.load(checkpoint, backend="torch", tile=tile, overlap=overlap) as reference:
        expected = reference.restore(given)
    units = [each.astype(np.float32) / np.float32(255) for each in (restored, expected)]
    found = difference(units[0], units[1], precision, "uint8")
    off = float(np.mean(restored != expected))
    click.echo(f"{precision}: {off:.2%} of the values are another step of 8 bits")
    if found.refused:
        raise ParityError(f"{model.name} on {backend}: not what PyTorch gives: {found.refused}")
    return 0


def _timed(restorer: Restorer, given: NDArray[np.uint8]) -> NDArray[np.uint8]:
    began = time.perf_counter()
    restored: NDArray[np.uint8] = restorer.restore(given)
    click.echo(f"restored in {1e3 * (time.perf_counter() - began):.1f} ms")
    return restored


if __name__ == "__main__":
    main()
