"""What tile and overlap do to the pictures: ``python -m nafnet.benchmarks.studies.overlap``.

For each tile and overlap, on the six sample photographs with noise of sigma 25 in 8 bits: PSNR to the whole image
restored at once, PSNR to the clean photograph, and the largest step along the tiles' borders against elsewhere.
A border is visible where the difference to the whole image changes faster across it than it does anywhere else.
"""

from __future__ import annotations

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import as_8bit, in_unit_range, photographs, with_gaussian_noise
from nafnet.commandline import exits
from nafnet.metrics import psnr
from nafnet.runtime.engine.restorer import Restorer
from nafnet.tiling import TilePlan, plan_tiles

CHOICES = ((128, 0), (128, 16), (128, 32), (128, 64), (192, 16), (256, 0), (256, 16), (256, 32), (384, 16))
SIGMA = 25.0
WHOLE = 1 << 14  # larger than any photograph here: one tile


def steps_at_borders(difference: NDArray[np.float32], plan: TilePlan) -> tuple[float, float]:
    """The 99.9th percentile of steps of `difference`, float32[H,W,C], in 1/255: (next to tiles' borders, elsewhere)."""
    at_border: list[NDArray[np.float32]] = []
    elsewhere: list[NDArray[np.float32]] = []
    for axis, line in ((0, plan.rows), (1, plan.columns)):
        steps = np.abs(np.diff(difference, axis=axis))
        ends = {start + line.tile for start in line.starts[:-1]} | set(line.starts[1:])
        near = np.zeros(line.length - 1, bool)
        near[sorted(edge - 1 for edge in ends)] = True
        at_border.append(steps.compress(near, axis).ravel())
        elsewhere.append(steps.compress(~near, axis).ravel())
    return _high_percentile(at_border), _high_percentile(elsewhere)


def _high_percentile(parts: list[NDArray[np.float32]]) -> float:
    return 255 * float(np.percentile(np.concatenate(parts), 99.9))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", help="An .onnx file or a checkpoint.  [default: the bundled denoiser]")
@exits
def main(model: str | None) -> int:
    """Print the table from which the default overlap was chosen."""
    pairs = [
        (in_unit_range(as_8bit(with_gaussian_noise(clean, SIGMA, seed))), in_unit_range(clean))
        for seed, (_, clean) in enumerate(photographs())
    ]
    with Restorer.load(model, tile=WHOLE, overlap=0) as restorer:
        whole = [restorer.restore(noisy) for noisy, _ in pairs]
    table = Table("tile", "overlap", "to whole, dB", "to clean, dB", "step at borders", "elsewhere", title="Tiles")
    scores = [psnr(np.clip(w, 0, 1), clean, peak=1.0) for w, (_, clean) in zip(whole, pairs, strict=True)]
    table.add_row("whole", "", "", f"{np.mean(scores):.3f}", "", "")
    for tile, overlap in CHOICES:
        rows = []
        with Restorer.load(model, tile=tile, overlap=overlap) as restorer:
            for (noisy, clean), reference in zip(pairs, whole, strict=True):
                tiled = restorer.restore(noisy)
                height, width = clean.shape[:2]
                plan = plan_tiles(height, width, tile=tile, overlap=overlap, multiple=restorer.spec.multiple)
                steps = steps_at_borders(tiled - reference, plan)
                rows.append((psnr(tiled, reference, peak=1.0), psnr(np.clip(tiled, 0, 1), clean, peak=1.0), *steps))
        to_whole, to_clean, border, elsewhere = np.mean(rows, 0)
        table.add_row(
            str(tile), str(overlap), f"{to_whole:.2f}", f"{to_clean:.3f}", f"{border:.2f}/255", f"{elsewhere:.2f}/255"
        )
    Console(width=100).print(table)
    return 0


if __name__ == "__main__":
    main()
