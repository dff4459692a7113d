"""Pictures of a run: curves.png, and samples of what it restores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from nafnet.files import whole_file
from nafnet.train.run.evaluation_sets import NOT_IN_MEANS, TRAIN, middle
from nafnet.train.run.logbook import EVALUATION_COLUMNS, EVALUATIONS, STEP_COLUMNS, STEPS, read_rows

WOBBLE = 0.02
"""Of what the validation loss had come down; less than that is no turn."""
Series = dict[str, dict[int, dict[str, float]]]
"""Set, step, then loss, psnr and ssim."""


def evaluations(run: Path) -> Series:
    """What a run's evaluations.csv holds."""
    series: Series = defaultdict(dict)
    for row in read_rows(run / EVALUATIONS, EVALUATION_COLUMNS):
        series[row["set"]][int(row["step"])] = {key: float(row[key]) for key in ("loss", "psnr", "ssim")}
    return dict(series)


def held_out_means(series: Series) -> dict[int, dict[str, float]]:
    """By step, the means over all sets but `NOT_IN_MEANS`, at steps where every set was evaluated."""
    sets = [by_step for name, by_step in series.items() if name not in NOT_IN_MEANS]
    return {
        step: {key: float(np.mean([by_step[step][key] for by_step in sets])) for key in ("loss", "psnr", "ssim")}
        for step in (sets[0] if sets else {})
        if all(step in by_step for by_step in series.values())
    }


def turning_point(series: Series) -> int | None:
    """The step at which validation turns away from training, or None if it does not.

    That is the step of the lowest validation loss, if since then validation only got worse and training better: by more
    than `WOBBLE` of what validation had gained, and over at least two further evaluations, for one alone may be noise.
    """
    held_out, trained = held_out_means(series), series.get(TRAIN, {})
    if len(held_out) < 3:
        return None
    lowest, last = min(held_out, key=lambda step: held_out[step]["loss"]), max(held_out)
    first = min(held_out)
    gained = held_out[first]["loss"] - held_out[lowest]["loss"]
    lost = held_out[last]["loss"] - held_out[lowest]["loss"]
    worse = lost > WOBBLE * gained and sum(step > lowest for step in held_out) > 1
    better = trained[last]["loss"] < trained[lowest]["loss"] if trained else True
    return lowest if last > lowest and worse and better else None


def draw_curves(run: Path) -> None:
    """Write curves.png: loss of the steps, and loss, PSNR and SSIM of the evaluations."""
    from matplotlib.figure import Figure

    series = evaluations(run)
    rows = read_rows(run / STEPS, STEP_COLUMNS)
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    steps, losses = [int(row["step"]) for row in rows], np.array([float(row["loss"]) for row in rows])
    window = max(len(losses) // 200, 1)
    if len(losses) >= window:
        smooth = np.convolve(losses, np.ones(window) / window, "valid")
        axes[0].plot(steps[window - 1 :], smooth, color="0.7", linewidth=0.8, label=f"steps, mean of {window}")
    for axis, key, unit in zip(axes, ("loss", "psnr", "ssim"), ("", ", dB", ""), strict=True):
        for name, by_step in series.items():
            values = [point[key] for point in by_step.values()]
            axis.plot(list(by_step), values, label=name, linestyle="--" if name == TRAIN else "-", marker=".")
        axis.set(title=f"{key}{unit}", xlabel="step")
        axis.grid(alpha=0.3)
    turn = turning_point(series)
    if turn is not None:
        for axis in axes:
            axis.axvline(turn, color="red", linestyle=":", label=f"validation turns away at {turn}")
    for axis in axes[:2]:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    with whole_file(run / "curves.png") as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def write_samples(path: Path, rows: Sequence[Sequence[NDArray[np.float32]]], side: int = 256) -> None:
    """A picture with a row for each sample: degraded, restored, clean; the middle of large ones.

    Args:
        path: of the PNG.
        rows: float32[H,W,3] in [0, 1].
        side: of what is shown of each, in pixels.
    """
    shown = [np.concatenate([middle(image, side) for image in row], axis=1) for row in rows]
    width = max(row.shape[1] for row in shown)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in shown]
    picture = PillowImage.fromarray(np.rint(np.clip(np.concatenate(padded), 0, 1) * 255).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        picture.save(temporary, format="png")
