"""Data sets in every layout that nafnet-train knows, generated: python tests/train/make_data.py LAYOUT FOLDER.

The pictures are noise of a few pixels, which is all that finding and cutting need; with --drawn they are dead leaves
under a camera's noise, on which a network can learn something.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from nafnet.benchmarks.studies.study import DrawnPairs

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
PairOf = Callable[[int], Pair]
"""(degraded, clean), uint8[H,W,3], by number."""


def noise(height: int, width: int) -> PairOf:
    """Pairs of noise."""

    def pair(number: int) -> Pair:
        both = np.random.default_rng(number).integers(0, 256, (2, height, width, 3), np.uint8)
        return both[0], both[1]

    return pair


def save(pair: Pair, degraded: Path, clean: Path) -> None:
    """Both as the files named."""
    for image, path in zip(pair, (degraded, clean), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def scenes(root: Path, pair: PairOf, count: int, home: str = "Data", instances: int = 1) -> None:
    """SIDD: two pairs to an instance, and so many instances to a scene; the data set has 160 of 10 scenes."""
    for number in range(count):
        instance = number // 2
        phone, iso = ("S6", "GP", "IP", "N6", "G4")[instance % 5], 100 * 2 ** (instance % 5)
        scene = f"{instance + 1:04}_{instance // instances + 1:03}_{phone}_{iso:05}_00060_3200_{'LNH'[instance % 3]}"
        names = (f"{scene[:4]}_{side}_SRGB_{10 + number % 2:03}.PNG" for side in ("NOISY", "GT"))
        save(pair(number), *(root / home / scene / name for name in names))


def blocks(root: Path, pair: PairOf, count: int) -> None:
    """SIDD's validation: blocks, 32 to an image."""
    sides = zip(*(pair(number) for number in range(count - count % 32)), strict=True)
    for name, images in zip(("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"), sides, strict=True):
        stacked = np.stack(images)
        savemat(root / f"{name}.mat", {name: stacked.reshape(-1, 32, *stacked.shape[1:])})


def arrays(root: Path, pair: PairOf, count: int, size: str = "_256", dtype: str = "uint8") -> None:
    """SIDD as two NumPy arrays."""
    (root / "SIDD").mkdir(parents=True)
    for name, images in zip(("noisy", "gt"), zip(*map(pair, range(count)), strict=True), strict=True):
        values = np.stack(images)
        np.save(
            root / "SIDD" / f"{name}_images{size}.npy", values if dtype == "uint8" else (values / 255).astype(dtype)
        )


def gopro(root: Path, pair: PairOf, count: int) -> None:
    """GoPro as it is handed out: sequences; two thirds for training."""
    for number in range(count):
        home = root / ("test" if number % 3 == 2 else "train") / f"GOPR{number // 6:04}_11_00"
        save(pair(number), home / "blur" / f"{number:06}.png", home / "sharp" / f"{number:06}.png")


def flat(first: str, second: str, home: str = ".") -> Callable[[Path, PairOf, int], None]:
    """A folder for each side, under train and test; two thirds for training."""

    def make(root: Path, pair: PairOf, count: int) -> None:
        for number in range(count):
            part = root / home / ("test" if number % 3 == 2 else "train")
            save(pair(number), part / first / f"{number:04}.png", part / second / f"{number:04}.png")

    return make


def reds(root: Path, pair: PairOf, count: int, version: str = "blur") -> None:
    """REDS: sequences; two thirds for training."""
    for number in range(count):
        part = "val" if number % 3 == 2 else "train"
        folders = (root / part / f"{part}_{side}" / f"{number // 6:03}" for side in (version, "sharp"))
        save(pair(number), *(folder / f"{number:08}.png" for folder in folders))


LAYOUTS: dict[str, Callable[[Path, PairOf, int], None]] = {
    "sidd": scenes, "sidd-validation": blocks, "sidd-arrays": arrays, "gopro": gopro,
    "gopro-curated": flat("blur", "sharp", "DBlur/Gopro"), "input-target": flat("input", "target"), "reds": reds,
    "reds-jpeg": functools.partial(reds, version="blur_jpeg"),
}  # fmt: skip


@click.command()
@click.argument("layout", type=click.Choice(list(LAYOUTS)))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pairs", default=160, show_default=True, type=click.IntRange(min=1))
@click.option("--side", default=256, show_default=True, type=click.IntRange(min=8), help="Of each image, in pixels.")
@click.option("--drawn", "is_drawn", is_flag=True, help="Dead leaves under a camera's noise, instead of noise.")
def main(layout: str, folder: Path, pairs: int, side: int, is_drawn: bool) -> None:
    """Write PAIRS generated pairs to FOLDER, the way LAYOUT lies on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    LAYOUTS[layout](folder, DrawnPairs(side) if is_drawn else noise(side, side), pairs)


if __name__ == "__main__":
    main()
