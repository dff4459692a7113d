"""What a layout is: a way in which a data set lies on disk, as its makers hand it out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from nafnet.train.data.pairs import FilePairs, Pairs


@dataclasses.dataclass(kw_only=True)
class Found:
    """What a layout found."""

    parts: dict[str, Pairs]
    """By the name of the part that the data set itself has: train, validation, test, or all where it has none."""
    faults: list[str] = dataclasses.field(default_factory=list)
    """Files without a partner, a line each."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """One layout."""

    name: str
    expected: str
    """The tree, as a reader is shown it."""
    find: Callable[[Path], Found | None]
    """Looks for it under a folder; None where it is not there."""


def pair_by_name(inputs: Mapping[str, Path], targets: Mapping[str, Path]) -> tuple[FilePairs, list[str]]:
    """The files that have a partner of the same name, in the order of names, and a line for each that has none."""
    names = tuple(sorted(inputs.keys() & targets.keys()))
    faults = [f"{inputs[name]}: no clean image of that name" for name in sorted(inputs.keys() - targets.keys())]
    faults += [f"{targets[name]}: no degraded image of that name" for name in sorted(targets.keys() - inputs.keys())]
    return FilePairs(names, tuple(inputs[n] for n in names), tuple(targets[n] for n in names)), faults


def images_in(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The images of a folder by name without ending, and a line for each that has the name of another."""
    found: dict[str, Path] = {}
    doubles = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            doubles.append(f"{path}: has the name of {found[path.stem].name}; which of the two is meant?")
        else:
            found[path.stem] = path
    return found, doubles


SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
