"""Clean photographs in folders (--clean), found by walking them; each is uint8[H,W,3], RGB."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import DataError, ImageError
from nafnet.images.file import read_header, read_image
from nafnet.train.data.layouts.base import SUFFIXES, passed_over


@dataclasses.dataclass(frozen=True)
class Photographs:
    """A list of photographs."""

    names: tuple[str, ...]
    """Unique: the path below the folder, behind the folder's number where there are several."""
    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    """(H, W) of each, upright."""

    def load(self, index: int) -> NDArray[np.uint8]:
        """The pixels of one.

        Raises:
            DataError: it is damaged, or not 8-bit RGB.
        """
        try:
            image = read_image(self.paths[index])
        except ImageError as error:
            raise DataError(f"{error}; mend it, or take it away") from error
        pixels: NDArray[Any] = image.pixels
        assert pixels.dtype == np.uint8, "its header was checked"
        return pixels

    def subset(self, indices: Sequence[int]) -> Photographs:
        """Some of them, in the order given."""
        chosen = ((self.names[i], self.paths[i], self.sizes[i]) for i in indices)
        return Photographs(*(tuple(column) for column in zip(*chosen, strict=True)))


def find_photographs(folders: Sequence[Path], smallest: int) -> tuple[Photographs, list[str]]:
    """The photographs in folders and the folders below them, and a line for each that cannot be used.

    Args:
        folders: each is walked; hidden files and folders are passed over.
        smallest: pixels that each side must have at least.

    Raises:
        DataError: a folder is not there, lies in another, has no pictures, or none that can be used.
    """
    places = [folder.resolve() for folder in folders]
    for number, place in enumerate(places):
        for other in (*places[:number], *places[number + 1 :]):
            if place.is_relative_to(other):
                raise DataError(f"--clean {folders[number]}: lies in another of the folders; name the outer one alone")
    found: list[tuple[str, Path, tuple[int, int]]] = []
    faults: list[str] = []
    for number, folder in enumerate(folders):
        pictures, others = _pictures(folder)
        faults += passed_over(others)
        for path in pictures:
            name = path.relative_to(folder).as_posix()
            try:
                size = _checked_size(path, smallest)
            except (DataError, ImageError) as error:
                faults.append(str(error))
            else:
                found.append((f"{number}/{name}" if len(folders) > 1 else name, path, size))
    if not found:
        raise DataError(f"{', '.join(map(str, folders))}: none of {len(faults)} pictures can be used: {faults[0]}")
    return Photographs(*(tuple(column) for column in zip(*found, strict=True))), faults


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder and those below it, in order, and what else lies there; nothing that is hidden."""
    if not folder.is_dir():
        raise DataError(f"--clean {folder}: no such folder")
    paths = [path for path in sorted(folder.rglob("*")) if not any(map(_is_hidden, path.relative_to(folder).parts))]
    shown = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not shown:
        raise DataError(
            f"--clean {folder}: has no pictures, nor have the folders below it; expected {', '.join(SUFFIXES)}"
        )
    return shown, [path for path in paths if path.suffix.lower() not in SUFFIXES]


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _checked_size(path: Path, smallest: int) -> tuple[int, int]:
    header = read_header(path)
    if header.pixel_type != "uint8" or header.channels != 3 or header.alpha:
        alpha = " and alpha" if header.alpha else ""
        raise DataError(f"{path}: {header.pixel_type} with {header.channels} channels{alpha}; expected 8-bit RGB")
    if min(header.height, header.width) < smallest:
        raise DataError(
            f"{path}: {header.width}x{header.height} pixels; expected {smallest} a side at least, "
            "that is the recipe's largest patch times [photographs] reduce"
        )
    return header.height, header.width
