"""Data sets in pairs of folders whose files have equal names: GoPro, REDS, and any two folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nafnet.errors import DataError
from nafnet.train.data.layouts.base import SUFFIXES, Found, Layout, images_in, pair_by_name, passed_over
from nafnet.train.data.pairs import FilePairs, Pairs
from nafnet.train.data.scenes import BY_FOLDER

Sides = list[tuple[str, Path, Path]]
"""A prefix for names, and the folders of degraded and of clean images."""


def find_two(inputs: Path, targets: Path) -> Found:
    """The pairs of two folders.

    Raises:
        DataError: one is no folder, or has no image.
    """
    for folder in (inputs, targets):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        if not images_in(folder)[0]:
            raise DataError(f"{folder}: has no images; expected {', '.join(SUFFIXES)}")
    pairs, faults = pair_folders([("", inputs, targets)])
    if not pairs.names:
        raise DataError(unpaired(inputs, targets))
    notes = passed_over(path for folder in (inputs, targets) for path in folder.iterdir())
    return Found(parts={"all": pairs}, faults=faults, notes=notes)


def unpaired(inputs: Path, targets: Path) -> str:
    """What is wrong with two folders of which no two files have equal names."""
    first, second = (next(iter(sorted(images_in(folder)[0].values())), None) for folder in (inputs, targets))
    if first is None or second is None:
        return f"{inputs if first is None else targets}: has no images; expected {', '.join(SUFFIXES)}"
    return (
        f"{inputs} and {targets}: no two files have the same name, such as {first.name} and {second.name}; "
        "give both of a pair one name (the ending may differ)"
    )


def pair_folders(sides: Sides) -> tuple[FilePairs, list[str]]:
    """The pairs of all sides, and a line for each file that has no partner or the name of another."""
    found: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    doubles: list[str] = []
    for prefix, *folders in sides:
        for images, folder in zip(found, folders, strict=True):
            named, more = images_in(folder)
            images |= {prefix + name: path for name, path in named.items()}
            doubles += more
    pairs, faults = pair_by_name(*found)
    return pairs, doubles + faults


def _finder(
    sides_of: Callable[[Path, str], Sides], splits: dict[str, str], *, by_folder: bool = False
) -> Callable[[Path], Found | None]:
    """A finder of data sets with a folder for each part; `splits` names the folder of each.

    With `by_folder` each folder of images is a clip.
    """

    def find(root: Path) -> Found | None:
        parts: dict[str, Pairs] = {}
        faults: list[str] = []
        for part, folder in splits.items():
            sides = [side for side in sides_of(root, folder) if side[1].is_dir() and side[2].is_dir()]
            if sides:
                parts[part], more = pair_folders(sides)
                faults += more
        if "train" not in parts:
            return None
        return Found(parts=parts, faults=faults, scenes=BY_FOLDER if by_folder else None, makers_parts=by_folder)

    return find


def _sequences(root: Path, split: str) -> Sides:
    return [(f"{folder.name}/", folder / "blur", folder / "sharp") for folder in sorted((root / split).glob("GOPR*"))]


def _named(first: str, second: str, prefix: str = "") -> Callable[[Path, str], Sides]:
    def sides(root: Path, split: str) -> Sides:
        return [("", root / prefix / split / first, root / prefix / split / second)]

    return sides


def _reds(root: Path, split: str, version: str) -> Sides:
    home = root / split if (root / split).is_dir() else root
    degraded, sharp = home / f"{split}_{version}", home / f"{split}_sharp"
    return [(f"{each.name}/", each, sharp / each.name) for each in sorted(degraded.glob("[0-9]*"))]


def _find_reds(root: Path) -> Found | None:
    """Every version; one whose training part is not there is found as well, so that it can be named."""
    versions = {}
    for version in ("blur", "blur_jpeg"):
        parts: dict[str, Pairs] = {}
        faults: list[str] = []
        for part, folder in (("train", "train"), ("validation", "val")):
            if sides := [side for side in _reds(root, folder, version) if side[2].is_dir()]:
                parts[part], more = pair_folders(sides)
                faults += more
        if parts:
            versions[version] = Found(parts=parts, faults=faults, scenes=BY_FOLDER, makers_parts=True)
    has_training = any("train" in version.parts for version in versions.values())
    return Found(parts={}, versions=versions) if has_training else None


_TRAIN_AND_TEST = {"train": "train", "test": "test"}
GOPRO = Layout(
    name="gopro",
    expected="{train,test}/GOPR*/{blur,sharp}/*.png",
    find=_finder(_sequences, _TRAIN_AND_TEST, by_folder=True),
)
GOPRO_CURATED = Layout(
    name="gopro-curated",
    expected="DBlur/Gopro/{train,test}/{blur,sharp}/*.png",
    find=_finder(_named("blur", "sharp", "DBlur/Gopro"), _TRAIN_AND_TEST),
)
REDS = Layout(
    name="reds",
    expected="{train,val}/{train,val}_{blur,sharp}/000/*.png, or blur_jpeg",
    find=_find_reds,
)
