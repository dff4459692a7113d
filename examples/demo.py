"""The demo: real photographs, made noisy, restored by `nafnet-run` with no option, and measured.

Run it with `make demo`, or ``python examples/demo.py [FOLDER]``. It leaves FOLDER/noisy, FOLDER/restored,
FOLDER/report.json and FOLDER/side_by_side.png.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import Photograph, as_8bit, photographs, with_gaussian_noise
from nafnet.metrics import psnr, ssim_rgb_gaussian

SIGMA = 25.0
CROP = 200


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    noisy_folder, restored_folder = folder / "noisy", folder / "restored"
    noisy_folder.mkdir(parents=True, exist_ok=True)
    clean = dict(photographs())
    for seed, (name, photograph) in enumerate(clean.items()):
        noisy = as_8bit(with_gaussian_noise(photograph, SIGMA, seed))
        Image.fromarray(noisy).save(noisy_folder / f"{name}.png")

    command = [str(Path(sys.executable).with_name("nafnet-run")), str(noisy_folder), str(restored_folder)]
    print("$ nafnet-run", *command[1:], flush=True)
    subprocess.run([*command, "--report", str(folder / "report.json")], check=True)

    table = Table(
        "photograph", "PSNR noisy", "restored, dB", "SSIM noisy", "restored", title=f"Noise of sigma {SIGMA:g}"
    )
    strips = []
    for name, photograph in clean.items():
        noisy, restored = (_read(part / f"{name}.png") for part in (noisy_folder, restored_folder))
        scores = [f"{psnr(image, photograph, peak=255):.2f}" for image in (noisy, restored)]
        scores += [f"{ssim_rgb_gaussian(image, photograph, peak=255):.3f}" for image in (noisy, restored)]
        table.add_row(name, *scores)
        strips.append(np.hstack([_crop(image) for image in (noisy, restored, photograph)]))
    Console(width=100).print(table)

    picture = folder / "side_by_side.png"
    halves = [np.vstack(strips[:3]), np.vstack(strips[3:])]
    gap = np.full((halves[0].shape[0], 12, 3), 255, np.uint8)
    Image.fromarray(np.hstack([halves[0], gap, halves[1]])).save(picture)
    print(f"noisy | restored | clean: {picture}")


def _read(path: Path) -> Photograph:
    return np.asarray(Image.open(path))


def _crop(image: Photograph) -> Photograph:
    """CROP x CROP pixels of the middle, a little above it: where these photographs have their subject."""
    top, left = (image.shape[0] - CROP) // 3, (image.shape[1] - CROP) // 2
    return image[top : top + CROP, left : left + CROP]


if __name__ == "__main__":
    main()
