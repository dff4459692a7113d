"""seams.jpg: what tiles change, with the bundled model and `Restorer`. Run: python docs/figures/seams.py"""

from __future__ import annotations

import numpy as np
from drawing import clean_and_noisy, save
from matplotlib.figure import Figure

from nafnet.metrics import psnr
from nafnet.runtime import Restorer

TILE, WHOLE, GAIN = 128, 1 << 14, 8
TOP, LEFT, SIDE = 30, 60, 250


def restored(noisy: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    """float32[H,W,3], restored in tiles."""
    with Restorer.load(tile=tile, overlap=overlap) as restorer:
        return np.clip(restorer.restore(noisy), 0, 1)


def main() -> None:
    clean, noisy = clean_and_noisy("astronaut")
    crop = np.s_[TOP : TOP + SIDE - 50, LEFT : LEFT + SIDE]
    whole = restored(noisy, WHOLE, 0)
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    panels = figure.subplots(1, 3)
    panels[0].imshow(whole[crop])
    panels[0].set_title(f"restored as a whole:\n{psnr(whole, clean, peak=1.0):.2f} dB to the clean picture")
    for panel, overlap in zip(panels[1:], (0, 16), strict=True):
        tiled = restored(noisy, TILE, overlap)
        panel.imshow(np.clip(0.5 + GAIN * (tiled - whole)[crop], 0, 1))
        shared = f"{overlap} pixels shared" if overlap else "nothing shared"
        panel.set_title(f"tiles of {TILE}, {shared}: {psnr(tiled, clean, peak=1.0):.2f} dB;\ndifference x {GAIN}")
    for panel in panels:
        panel.set_axis_off()
    save(figure, "seams.jpg")


if __name__ == "__main__":
    main()
