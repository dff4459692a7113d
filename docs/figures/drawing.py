"""What the scripts beside this one share. Each draws the picture of its own name from real data.

To make all of them again: ``for script in tiles seams half rotation gate; do python docs/figures/$script.py; done``,
with the `dev` extra installed. `half.py` and `gate.py` export networks and take some minutes.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nafnet.benchmarks.photographs import as_8bit, in_unit_range, photographs, with_gaussian_noise

FOLDER = Path(__file__).parent
BLUE, ORANGE, GREY = "#4051b5", "#d9701e", "#8a8f98"
DOTS_PER_INCH = 110

mpl.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "legend.frameon": False,
    }
)


def clean_and_noisy(name: str, sigma: float = 25.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A sample photograph and what an 8-bit file holds of it with noise of `sigma`/255: float32[H,W,3] in [0, 1]."""
    clean = dict(photographs())[name]
    return in_unit_range(clean), in_unit_range(as_8bit(with_gaussian_noise(clean, sigma, seed=0)))


def save(figure: Figure, name: str) -> None:
    """Write a picture beside the scripts, on white: pages have a dark form as well."""
    options = {"quality": 88} if name.endswith(".jpg") else {"optimize": True}
    figure.savefig(
        FOLDER / name, dpi=DOTS_PER_INCH, facecolor="white", bbox_inches="tight", pad_inches=0.08, pil_kwargs=options
    )
    print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")
