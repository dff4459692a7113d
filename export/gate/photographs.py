"""The photographs of a folder: which are used, which are not and why, which part is looked at, what is their truth.

Shapes: C channels, H height, W width. Sizes are (height, width), in pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import ImageError, NafnetError, UsageError, one_line
from nafnet.images.formats import SUFFIXES
from nafnet.images.pixels import WHITE
from nafnet.words import counted

Planes = NDArray[np.float32]
"""[C,H,W] in [0, 1]."""
# Enough to see what a folder holds; the gate runs each through PyTorch.
MAX_PHOTOGRAPHS = 8
_LEAST = 4  # of a side that is compared; from less than this part of it, there would be little but mirror images
_MOST_NAMED, _MOST_LINES = 5, 20  # in a line, and of lines; a report names all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a photograph, in its own pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The clean version of a photograph."""

    name: str
    planes: Planes
    """float32[C,H,W], of the photograph's height and width."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Photograph:
    """One that was read."""

    name: str
    """The file's, with its ending."""
    planes: Planes
    """The whole of it."""
    part: Part
    """What is compared: the middle."""
    mirrored: bool
    """Whether the part is smaller than what is compared, and continues in its mirror image."""
    truth: Truth | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is not used."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """What became of every file in a folder: it is used, skipped, or left."""

    folder: Path
    size: tuple[int, int]
    """Height and width of what is compared."""
    used: tuple[Photograph, ...]
    skipped: tuple[Skipped, ...]
    left: int
    """How many further files were not looked at."""

    def lines(self, *, compared: bool = True) -> list[str]:
        """It in words; `compared` says whether the export is compared with PyTorch at all."""
        height, width = self.size
        each = "each" if self.used[1:] else "it"
        line = f"--images {self.folder}: {counted(len(self.used), 'picture')} read"
        line += f" (the middle {height}x{width} of {each} is compared, height x width)" if compared else ""
        line += f", {counted(self.left, 'further file')} left: {MAX_PHOTOGRAPHS} pictures suffice" if self.left else ""
        if self.skipped:
            skipped = [f"{file.name} ({file.reason})" for file in self.skipped]
            line += f", {len(skipped):,} skipped: {', '.join(_at_most(skipped, _MOST_NAMED))}"
        sizes = {found.name: found.planes.shape[1:] for found in self.used if found.mirrored}
        small = [f"{name} ({size[0]}x{size[1]})" for name, size in sizes.items()]
        if not small:
            return [line]
        return [line, f"smaller than {height}x{width}, so continued in mirror images: {', '.join(small)}"]

    def facts(self) -> dict[str, Any]:
        """It as JSON can hold it."""
        used = [
            {
                "name": found.name, "height": found.planes.shape[1], "width": found.planes.shape[2],
                "part": dataclasses.asdict(found.part), "mirrored": found.mirrored,
                "truth": found.truth.name if found.truth else None,
            }
            for found in self.used
        ]  # fmt: skip
        return {"used": used, "skipped": [dataclasses.asdict(file) for file in self.skipped], "left": self.left}


def read_photographs(folder: Path, size: tuple[int, int], least: tuple[int, int] | None = None) -> Photographs:
    """The first `MAX_PHOTOGRAPHS` pictures of a folder, in the order of their names.

    Args:
        size: height and width of what is compared.
        least: height and width below which a picture is skipped; a quarter of `size` by default.

    Raises:
        UsageError: no such folder, or no picture in it can be used; below the message stands why.
    """
    if not folder.is_dir():
        raise UsageError(f"--images {folder}: not a folder; expected one with photographs")
    least = least or (-(-size[0] // _LEAST), -(-size[1] // _LEAST))
    used: list[Photograph] = []
    skipped: list[Skipped] = []
    paths = sorted(path for path in folder.iterdir() if not path.is_dir())
    for path in paths:
        if len(used) == MAX_PHOTOGRAPHS:
            break
        try:
            used.append(_photograph(path, size, least))
        except NafnetError as error:
            skipped.append(Skipped(name=path.name, reason=_reason(path, error)))
    if not used:
        why = f"{counted(len(paths), 'file')} skipped; sizes are height x width" if paths else "it is empty"
        reasons = _at_most([f"{file.name}: {file.reason}" for file in skipped], _MOST_LINES)
        raise UsageError(f"--images {folder}: no picture in it can be used ({why})", reasons)
    left = len(paths) - len(used) - len(skipped)
    return Photographs(folder=folder, size=size, used=tuple(used), skipped=tuple(skipped), left=left)


def read_truth(folder: Path, degraded: Photographs) -> Photographs:
    """The photographs with the clean version of each: of the same file name, or else of the same with another ending.

    Raises:
        UsageError: one is missing, cannot be read or is of another size, or it is not clear which it is.
    """
    if not folder.is_dir():
        raise UsageError(f"--truth {folder}: not a folder; expected the clean versions of the pictures in --images")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    taken: dict[str, str] = {}
    used = []
    for found in degraded.used:
        name = _truth_name(folder, names, found.name)
        if name in taken:
            raise UsageError(
                f"--truth {folder}: {name} would be the clean version of both {taken[name]} and {found.name}; give "
                "each its own, of the same file name"
            )
        taken[name] = found.name
        try:
            clean = _read(folder / name)
        except NafnetError as error:
            raise UsageError(f"--truth: {error}") from error
        if clean.shape[1:] != found.planes.shape[1:]:
            sizes = [f"{part.shape[2]}x{part.shape[1]}" for part in (clean, found.planes)]
            raise UsageError(f"--truth {folder / name}: {sizes[0]} pixels, its picture in --images has {sizes[1]}")
        used.append(dataclasses.replace(found, truth=Truth(name=name, planes=clean)))
    return dataclasses.replace(degraded, used=tuple(used))


def centre(photograph: Planes, channels: int, height: int, width: int) -> Planes:
    """The middle of a photograph, mirrored where it is too small: float32[channels,height,width]."""
    missing = [max(want - have, 0) for want, have in zip((height, width), photograph.shape[1:], strict=True)]
    planes = photograph[np.arange(channels) % len(photograph)]  # grey repeated where the model wants RGB
    padded = np.pad(planes, ((0, 0), *((0, gap) for gap in missing)), mode="symmetric")
    top, left = (padded.shape[1] - height) // 2, (padded.shape[2] - width) // 2
    return padded[:, top : top + height, left : left + width]


def places(photograph: Planes, channels: int, height: int, width: int) -> list[Planes]:
    """The middle of a photograph, and the darkest and the brightest of the whole parts that lie side by side in it.

    Returns:
        One to three float32[channels,height,width]: the middle alone where the photograph holds no other part.
    """
    rows, columns = photograph.shape[1] // height, photograph.shape[2] // width
    top, left = (photograph.shape[1] - rows * height) // 2, (photograph.shape[2] - columns * width) // 2
    grid = photograph[:, top : top + rows * height, left : left + columns * width]
    brightness = grid.reshape(len(grid), rows, height, columns, width).mean((0, 2, 4)).ravel()  # [rows * columns]
    order = [int(index) for index in np.argsort(brightness, kind="stable")]
    if rows % 2 and columns % 2:
        order.remove(rows * columns // 2)  # the middle, once more
    found = [centre(photograph, channels, height, width)]
    for index in dict.fromkeys([*order[:1], *order[-1:]]):
        row, column = divmod(index, columns)
        cell = grid[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
        found.append(centre(cell, channels, height, width))
    return found


def _photograph(path: Path, size: tuple[int, int], least: tuple[int, int]) -> Photograph:
    planes = _read(path)
    _, height, width = planes.shape
    if height < least[0] or width < least[1]:
        raise ImageError(f"{path}: too small, {height}x{width}, expected at least {least[0]}x{least[1]}")
    taken = min(height, size[0]), min(width, size[1])
    part = Part(top=(height - taken[0]) // 2, left=(width - taken[1]) // 2, height=taken[0], width=taken[1])
    return Photograph(name=path.name, planes=planes, part=part, mirrored=taken != size)


def _read(path: Path) -> Planes:
    """Decode a file; also what a decoder gets through is refused if a part of the picture is missing."""
    from nafnet.images.reader import open_image  # libvips, which exporting without --images does not need

    reader = open_image(path)
    (pixels,) = reader.rows(reader.header.height)  # [H,W,C]
    if reader.damage:
        raise ImageError(f"{path}: damaged {reader.header.format.upper()} ({reader.damage})")
    colours = pixels[:, :, : reader.header.channels].transpose(2, 0, 1)
    return np.ascontiguousarray(colours, np.float32) / np.float32(WHITE[pixels.dtype.name])


def _reason(path: Path, error: NafnetError) -> str:
    """An error without the path in front, which is known, and without the advice at the end."""
    words = str(error).removeprefix(one_line(f"{path}:") + " ").removeprefix(f"{str(path)!a}: ")
    return words.partition(";")[0]


def _truth_name(folder: Path, names: Sequence[str], name: str) -> str:
    """The file among `names` that has the clean version of the picture `name`."""
    if name in names:
        return name
    stem = Path(name).stem
    alike = [other for other in names if Path(other).stem == stem]
    # Programs lay files of notes beside pictures, as a.xmp beside a.png.
    pictures = [other for other in alike if Path(other).suffix.lower() in SUFFIXES] or alike
    if not pictures:
        raise UsageError(
            f"--truth {folder}: no picture named {stem}, of any ending; expected the clean version of each in --images"
        )
    if len(pictures) > 1:
        both = " and ".join(pictures)
        raise UsageError(f"--truth {folder}: {both} could both be the clean version of {name}; leave one there")
    return pictures[0]


def _at_most(lines: Sequence[str], most: int) -> list[str]:
    return [*lines[:most], f"and {len(lines) - most:,} more"] if len(lines) > most else list(lines)
