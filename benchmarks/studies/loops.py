"""A folder of photographs by nafnet-run and by the loops people write: ``python -m nafnet.benchmarks.studies.loops``.

The loops are PyTorch eager with Pillow: one runs whole images, as demo scripts do, one cuts tiles with an overlap and
keeps the middle of each. Each contender is a process of its own, started in turn, and watched from outside.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from nafnet.benchmarks.photographs import as_8bit, photographs, with_gaussian_noise
from nafnet.benchmarks.watched import Watched, watch
from nafnet.commandline import exits
from nafnet.errors import BackendError
from nafnet.interpreter import module_command
from nafnet.metrics import psnr
from nafnet.runtime.engine.model_source import open_model

TILE, OVERLAP = 512, 32
WHOLE, TILED, OURS = "PyTorch, whole images", f"PyTorch, tiles of {TILE}", "nafnet-run"
Pixels = NDArray[np.uint8]


def write_photographs(folder: Path, count: int, smallest: float, largest: float) -> float:
    """Noisy PNGs of 3:2 from one size in megapixels to another, of enlarged sample photographs; returns their sum."""
    clean = list(photographs())
    total = 0.0
    for index in range(count):
        name, pixels = clean[index % len(clean)]
        megapixels = smallest + (largest - smallest) * index / max(count - 1, 1)
        height = round((megapixels * 1e6 / 1.5) ** 0.5)
        size = (round(1.5 * height), height)
        enlarged = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        noisy = as_8bit(with_gaussian_noise(enlarged, 25, index))
        Image.fromarray(noisy).save(folder / f"{index:02}-{name}.png", compress_level=1)
        total += size[0] * size[1] / 1e6
    return total


def restore_folder(source: Path, target: Path, model: str | None, *, tiled: bool) -> None:
    """The loop: read, restore, write, one file after the other."""
    import torch

    from nafnet.checkpoint import load_checkpoint
    from nafnet.pretrained import bundled_model

    network = load_checkpoint(model or bundled_model(".safetensors")).build()
    for path in sorted(source.iterdir()):
        image = np.asarray(Image.open(path).convert("RGB"))
        planes = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
        with torch.no_grad():
            restored = _by_tiles(network, planes) if tiled else network(planes)
        Image.fromarray(as_8bit(restored[0].permute(1, 2, 0).numpy())).save(target / path.name, compress_level=1)


def _by_tiles(network: Any, planes: Any) -> Any:
    restored = planes.new_zeros(planes.shape)
    height, width = planes.shape[2:]
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            y, x = max(top - OVERLAP, 0), max(left - OVERLAP, 0)
            part = network(planes[:, :, y : top + TILE + OVERLAP, x : left + TILE + OVERLAP])
            kept = part[:, :, top - y : top - y + TILE, left - x : left - x + TILE]
            restored[:, :, top : top + kept.shape[2], left : left + kept.shape[3]] = kept
    return restored


def _contenders(source: Path, targets: dict[str, Path], model: str | None) -> Iterator[tuple[str, list[str]]]:
    given = ["--model", model] if model else []
    for name, tiled in ((WHOLE, False), (TILED, True)):
        request = json.dumps({"source": str(source), "target": str(targets[name]), "model": model, "tiled": tiled})
        yield name, module_command("nafnet.benchmarks.studies.loops", "--loop", request)
    program = str(Path(sys.executable).with_name("nafnet-run"))
    yield OURS, [program, str(source), str(targets[OURS]), "--overwrite", "--quiet", *given]


def _mean_psnr(folder: Path, expected: Path) -> float:
    scores = [
        psnr(np.asarray(Image.open(path)), np.asarray(Image.open(expected / path.name)), peak=255)
        for path in sorted(folder.glob("*.png"))
    ]
    return float(np.mean(scores))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", help="A checkpoint.  [default: the bundled denoiser]")
@click.option("--count", default=20, show_default=True, type=click.IntRange(min=1), help="Photographs in the folder.")
@click.option("--megapixels", nargs=2, type=float, default=(2.0, 12.0), show_default=True, help="Smallest and largest.")
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--loop", hidden=True)
@exits
def main(model: str | None, count: int, megapixels: tuple[float, float], rounds: int, loop: str | None) -> int:
    """Print seconds, memory, and the PSNR to whole images."""
    if loop is not None:
        request = json.loads(loop)
        tiled: bool = request["tiled"]
        restore_folder(Path(request["source"]), Path(request["target"]), request["model"], tiled=tiled)
        return 0
    if model:
        open_model(model, "onnxruntime")  # exported once, and kept, before any clock runs
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "photographs")
        source.mkdir()
        total = write_photographs(source, count, *megapixels)
        targets = {name: Path(place, str(number)) for number, name in enumerate((WHOLE, TILED, OURS))}
        for folder in targets.values():
            folder.mkdir()
        found: dict[str, list[Watched]] = {name: [] for name in targets}
        for _ in range(rounds):
            for name, command in _contenders(source, targets, model):
                seen = watch(command)
                if seen.code:
                    raise BackendError(f"{name} failed: {seen.output[-300:]}")
                found[name].append(seen)
        accuracy = {name: _mean_psnr(folder, targets[WHOLE]) for name, folder in targets.items()}
    _print(found, accuracy, total, count)
    return 0


def _print(found: dict[str, list[Watched]], accuracy: dict[str, float], total: float, count: int) -> None:
    table = Table("", "s", "MP/s", "x the first", "peak of memory, MB", "PSNR to whole, dB")
    table.title = f"{count} photographs, {total:.0f} megapixels"
    first = min(seen.seconds for seen in found[WHOLE])
    for name, runs in found.items():
        seconds, peak = min(seen.seconds for seen in runs), max(seen.peak for seen in runs)
        compared = "" if name == WHOLE else f"{accuracy[name]:.1f}"
        cells = (f"{seconds:.1f}", f"{total / seconds:.2f}", f"{first / seconds:.2f}", f"{peak:,.0f}", compared)
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
