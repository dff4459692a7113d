"""tiles.jpg: how a photograph is cut, by the planner that `nafnet-run` uses. Run: python docs/figures/tiles.py"""

from __future__ import annotations

import numpy as np
from drawing import BLUE, ORANGE, clean_and_noisy, save
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nafnet.tiling import TilePlan, plan_tiles, ramp

TILE, OVERLAP, MULTIPLE = 256, 16, 16
SHOWN = 24
"""Pixels on each side of the overlap in the second drawing."""


def covered(plan: TilePlan) -> np.ndarray:
    """int[H,W]: how many tiles lie over each pixel."""
    height, width = plan.tile_shape
    count = np.zeros((plan.rows.length, plan.columns.length), int)
    for top in plan.rows.starts:
        for left in plan.columns.starts:
            count[top : top + height, left : left + width] += 1
    return count


def main() -> None:
    photograph, _ = clean_and_noisy("coffee")
    height, width = photograph.shape[:2]
    plan = plan_tiles(height, width, tile=TILE, overlap=OVERLAP, multiple=MULTIPLE)
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2.1, 1])

    shared = covered(plan) > 1
    tint = np.array([0.25, 0.32, 0.71])
    left.imshow(np.where(shared[..., None], 0.35 * photograph + 0.65 * tint, photograph))
    left.add_patch(Rectangle((-0.5, -0.5), *plan.tile_shape[::-1], fill=False, edgecolor=ORANGE, linewidth=2.5))
    left.set_axis_off()
    tall, wide = plan.tile_shape
    left.set_title(
        f"{width} x {height} pixels: {plan.count} tiles of {wide} x {tall}, no padding.\n"
        "Orange: the first tile. Blue: pixels that tiles share."
    )

    first, second = plan.columns.starts[:2]
    length = first + wide - second
    later = np.concatenate([np.zeros(SHOWN), ramp(length), np.ones(SHOWN)])
    pixels = np.arange(second - SHOWN, second + length + SHOWN)
    right.plot(pixels, 1 - later, color=ORANGE, label="first tile")
    right.plot(pixels, later, color=BLUE, label="second tile")
    right.axvspan(second, second + length - 1, color=BLUE, alpha=0.12, linewidth=0)
    right.set(
        xlabel="pixel from the left", ylabel="weight", title=f"Blended over {length} pixels;\nthe weights sum to 1"
    )
    right.legend(loc="center left")
    save(figure, "tiles.jpg")


if __name__ == "__main__":
    main()
