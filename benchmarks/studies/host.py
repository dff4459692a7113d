"""How many pixels the CPU can bring to a device and back: ``python -m nafnet.benchmarks.studies.host``.

The device takes no time: it gives back what was written for it. So what is measured is all the rest: tiles cut and
written, checked, blended and made pixels again, and around them files decoded and encoded. Beside it stand a plain copy
of the pixels, and libvips alone: it decodes and encodes the same files with the same settings, as many at once as there
are cores.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from nafnet.allocator import keep_bands
from nafnet.benchmarks.photographs import Photograph, as_8bit, photographs, with_gaussian_noise
from nafnet.benchmarks.timing import alternate
from nafnet.commandline import exits
from nafnet.images.file import ImageFile, write_image
from nafnet.images.formats import DEFAULT_QUALITY, Format
from nafnet.images.vips import pyvips
from nafnet.runtime.backends.lanes import Lane, LaneBackend
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.runtime.engine.batches import cannot_be_true, together
from nafnet.runtime.engine.events import Item, Layout
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.engine.tiles import TiledImage
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.outputs import make_folders
from nafnet.runtime.paths.standing import Judge
from nafnet.runtime.paths.work import Request, find_work
from nafnet.spec import ModelSpec, WireType
from nafnet.wire import wire_dtype, wire_shape

TILE, OVERLAP, BATCH = 256, 16, 8
WIRES: tuple[WireType, ...] = ("uint8", "float16", "float32")
SAVED: dict[Format, tuple[str, dict[str, object]]] = {
    "jpeg": (".jpg", {"Q": DEFAULT_QUALITY, "subsample_mode": "off"}),
    "png": (".png", {"compression": 6}),
    "tiff": (".tif", {"compression": "deflate", "predictor": "horizontal"}),
}
"""How the project writes each format."""


class _Buffer(Lane):
    """Memory that a device would read and write."""

    def __init__(self, wire: WireType) -> None:
        self._wire = wire
        self._memory: Wired = np.empty(0, wire_dtype(wire))

    def start(self, pending: Pending) -> None:
        shape = wire_shape(pending.shape, self._wire)
        if self._memory.shape != shape:
            self._memory = np.empty(shape, wire_dtype(self._wire))
        pending.write(self._memory)

    def finish(self) -> Wired:
        return self._memory


class NoDevice(LaneBackend):
    """Gives back what it is given, at once.

    Args:
        wire: what it takes and gives.
        threads: of the CPU, beside it.
    """

    name = "none"

    def __init__(self, wire: WireType, threads: int | None = None) -> None:
        spec = ModelSpec(multiple=16, tile=TILE, overlap=OVERLAP, io=wire)
        super().__init__(Model(path=Path("identity"), spec=spec), threads)

    @property
    def description(self) -> str:
        return "a device that takes no time"

    def make_lanes(self, count: int) -> list[Lane]:
        return [_Buffer(self.model.spec.io) for _ in range(count)]


class Stages:
    """The stages from array to array, each apart, on all cores.

    Args:
        pixels: uint8[H,W,3].
        wire: what the device takes and gives.
        cores: to use.
    """

    def __init__(self, pixels: Photograph, wire: WireType, cores: int) -> None:
        self._pixels, self._hands = pixels, Hands(cores)
        self._backend = NoDevice(wire, cores)
        self.restorer = Restorer(self._backend, tile=TILE, overlap=OVERLAP, batch=BATCH)
        self._written = [pending.written(wire) for pending in self._batches()]

    def _image(self) -> TiledImage[Item]:
        height, width, channels = self._pixels.shape
        layout = Layout(height=height, width=width, channels=channels, alpha=False, given="uint8", wanted="uint8")
        return TiledImage(Item(), layout, self.restorer.plan(height, width), self._backend.model.spec, self._hands)

    def _batches(self) -> list[Pending]:
        tiles = list(self._image().tiles(self._pixels))
        groups = [tiles[start : start + BATCH] for start in range(0, len(tiles), BATCH)]
        return [together(group, self._hands) for group in groups]

    def write(self) -> None:
        """Tiles cut, and written where the device reads them."""
        for pending, memory in zip(self._batches(), self._written, strict=True):
            pending.write(memory)

    def check(self) -> None:
        """Every value seen; bytes need it not."""
        if self._written[0].dtype == np.uint8:
            return
        for memory in self._written:
            self._hands.map(lambda tile: cannot_be_true(tile.astype(np.float32, copy=False), (0.0, 1.0)), memory)

    def blend(self) -> None:
        """Tiles blended, and made pixels."""
        image = self._image()
        tiles = iter(list(image.tiles(self._pixels)))
        for memory in self._written:
            for made in memory:
                image.add(
                    next(tiles), made[None].astype(np.float32, copy=False) if made.dtype != np.uint8 else made[None]
                )

    def whole(self) -> None:
        """All of it, as `Restorer.restore` does it."""
        self.restorer.restore(self._pixels)


def array_rates(pixels: Photograph, cores: int, rounds: int) -> Table:
    """Megapixels a second of each stage, for each wire, and of a copy."""
    table = Table("wire", "write", "check", "blend", "array to array", title="Array to array, MP/s")
    copy = np.empty_like(pixels)
    every = {wire: Stages(pixels, wire, cores) for wire in WIRES}
    functions: list[Callable[[], None]] = [partial(np.copyto, copy, pixels)]
    for stages in every.values():
        functions += [stages.write, stages.check, stages.blend, stages.whole]
    size = pixels.shape[0] * pixels.shape[1] / 1e6
    rates = [size / timing.minimum for timing in alternate(functions, seconds=0, min_rounds=rounds)]
    for index, wire in enumerate(every):
        written, checked, blended, whole = rates[1 + 4 * index : 5 + 4 * index]
        table.add_row(
            wire, f"{written:.0f}", "none" if wire == "uint8" else f"{checked:.0f}", f"{blended:.0f}", f"{whole:.0f}"
        )
    table.caption = f"one thread copies {rates[0]:.0f} MP/s"
    return table


def file_rates(pixels: Sequence[Photograph], cores: int, rounds: int) -> Table:
    """Megapixels a second from files to files, and of libvips alone."""
    table = Table("format", "with tiles and checks", "libvips alone", "ratio", title="File to file, MP/s, wire uint8")
    size = sum(each.shape[0] * each.shape[1] for each in pixels) / 1e6
    for file_format, (suffix, options) in SAVED.items():
        with tempfile.TemporaryDirectory() as folder, Restorer(
            NoDevice("uint8", cores), tile=TILE, overlap=OVERLAP, batch=BATCH
        ) as restorer:  # fmt: skip
            source = Path(folder, "in")
            source.mkdir()
            for index, each in enumerate(pixels):
                image = ImageFile(pixels=each, alpha=None, format=file_format, lossless=True)
                write_image(source / f"{index:02d}{suffix}", image)
            whole = partial(_restore, restorer, source, Path(folder, "out"))
            alone = partial(_libvips_alone, sorted(source.iterdir()), Path(folder), suffix, options, cores)
            ours, theirs = (size / found.minimum for found in alternate([whole, alone], seconds=0, min_rounds=rounds))
        table.add_row(file_format, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
    return table


def _restore(restorer: Restorer, source: Path, target: Path) -> None:
    work = find_work(Request(inputs=[source], output=target))
    make_folders(work.folders)
    rows = Pipeline(restorer, work.jobs, outputs=work.outputs, judge=Judge(None, overwrite=True)).run()
    assert all(row.status == "restored" for row in rows), rows


def _libvips_alone(files: Sequence[Path], folder: Path, suffix: str, options: dict[str, object], cores: int) -> None:
    def convert(path: Path) -> None:
        image = pyvips.Image.new_from_file(str(path), access="sequential")
        image.write_to_file(str(folder / f"alone-{path.stem}{suffix}"), **options)

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(convert, files))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--megapixels", default=12.0, show_default=True, type=click.FloatRange(min=0.1), help="Of each picture.")
@click.option("--count", default=8, show_default=True, type=click.IntRange(min=1), help="Pictures in the folder.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@exits
def main(megapixels: float, count: int, rounds: int) -> int:
    """Print what each stage reaches beside a device that takes no time."""
    keep_bands()  # as nafnet-run does
    cores = os.cpu_count() or 1
    side = round((megapixels * 1e6 / 1.5) ** 0.5)
    pictures = []
    for index, (_, clean) in enumerate(list(photographs())[:count]):
        repeats = [(0, max(size - have, 0)) for size, have in zip((side, side * 3 // 2), clean.shape[:2], strict=True)]
        large = np.pad(clean, [*repeats, (0, 0)], mode="symmetric")[:side, : side * 3 // 2]
        pictures.append(as_8bit(with_gaussian_noise(large, 15, index)))
    console = Console(width=100)
    console.print(f"{cores} cores; pictures of {pictures[0].shape[1]} x {pictures[0].shape[0]}")
    console.print(array_rates(pictures[0], cores, rounds))
    console.print(file_rates([pictures[index % len(pictures)] for index in range(count)], cores, rounds))
    return 0


if __name__ == "__main__":
    main()
