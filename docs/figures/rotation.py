"""rotation.png: one pixel's channels before and after the turn of the basis. Run: python docs/figures/rotation.py"""

from __future__ import annotations

import numpy as np
import torch
from drawing import BLUE, GREY, ORANGE, clean_and_noisy, save
from matplotlib.figure import Figure

from nafnet.checkpoint import load_checkpoint
from nafnet.export.network.rotation import reflection
from nafnet.pretrained import bundled_model

LEVEL = 1
"""Of the encoder: half the resolution, 32 channels in the bundled model."""
PIXEL = (60, 70)


def stream() -> np.ndarray:
    """float64[c]: the residual stream before the first block of the level, at one pixel of a noisy photograph."""
    network = load_checkpoint(bundled_model(".safetensors")).build()
    seen: list[torch.Tensor] = []
    network.encoders[LEVEL].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    noisy = clean_and_noisy("astronaut")[1][:256, :256]
    with torch.inference_mode():
        network(torch.from_numpy(np.ascontiguousarray(noisy.transpose(2, 0, 1)[None])))
    return seen[0][0, :, *PIXEL].double().numpy()


def main() -> None:
    before = stream()
    after = reflection(len(before)).numpy() @ before
    figure = Figure(figsize=(8, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    channels = np.arange(len(before))

    left.bar(channels, before, color=BLUE)
    left.axhline(before.mean(), color=ORANGE, label=f"mean {before.mean():.4f}")
    length = np.linalg.norm(before - before.mean())
    left.set(title=f"as trained: first subtract the mean;\nwhat is left has length {length:.4f}", xlabel="channel")
    left.legend(loc="upper right")

    right.bar(channels[1:], after[1:], color=BLUE)
    right.bar(0, after[0], color=ORANGE, label=f"mean x {len(before) ** 0.5:.2f} = {after[0]:.4f}")
    length = np.linalg.norm(after[1:])
    right.set(title=f"turned: leave channel 0 out;\nthe others have length {length:.4f}", xlabel="channel")
    right.legend(loc="upper right")
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=0.8)
    save(figure, "rotation.png")


if __name__ == "__main__":
    main()
