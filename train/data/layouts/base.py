"""What a layout is: a way in which a data set lies on disk, as its makers hand it out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nafnet.errors import DataError
from nafnet.images.formats import SUFFIXES as READ
from nafnet.images.formats import Format
from nafnet.train.data.pairs import FilePairs, Pairs
from nafnet.train.data.scenes import SceneRule
from nafnet.words import counted


@dataclasses.dataclass(kw_only=True)
class Found:
    """What a layout found."""

    parts: dict[str, Pairs]
    """By the name of the part that the data set itself has: train, validation, test, or all where it has none."""
    faults: list[str] = dataclasses.field(default_factory=list)
    """Files without a partner, a line each."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """What a user should know of it, a line each."""
    scenes: SceneRule | None = None
    """How names tell scenes, where the data set's makers say so; None: it is guessed."""
    makers_parts: bool = False
    """Whether its parts are its makers', of scenes apart, which each part may number anew."""
    versions: dict[str, Found] = dataclasses.field(default_factory=dict)
    """By name: several degraded versions, of which one is chosen; then there are no parts here."""


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


def chosen_version(root: Path, found: Found, degraded: str) -> Found:
    """The version of a data set that was asked for, or the only one.

    Args:
        root: of the data set.
        found: what a layout found.
        degraded: the name of a version; nothing: whichever there is.

    Raises:
        DataError: it is not there, or not in every part; or there are several, and none was asked for.
    """
    if not found.versions:
        if degraded:
            found.notes.append(f"degraded = {degraded!r} says nothing here: the data set has one version")
        return found
    there = "; ".join(f"{name} in {', '.join(version.parts)}" for name, version in found.versions.items())
    choice = " or ".join(f"--set degraded={name}" for name in found.versions)
    parts = {part for version in found.versions.values() for part in version.parts}
    name = degraded or next(iter(found.versions))
    if not degraded and len(found.versions) > 1:
        raise DataError(f"{root}: has {counted(len(found.versions), 'degraded version')} ({there}); choose: {choice}")
    if name not in found.versions:
        raise DataError(f"{root}: has no {name}, but {there}; choose {choice}")
    if missing := sorted(parts - found.versions[name].parts.keys()):
        raise DataError(
            f"{root}: {name} is not in {', '.join(missing)} ({there}), and training and validation must be of one "
            f"version; unpack what is missing, or choose another ({choice})"
        )
    version = found.versions[name]
    version.notes.append(f"degraded version: {name}")
    return version


def passed_over(paths: Iterable[Path]) -> list[str]:
    """A line that counts, by ending, the files that are photographs and are not trained on; none where all are."""
    counts = Counter(path.suffix.lower() for path in paths if READ.get(path.suffix.lower()) in _UNTRAINED)
    if not counts:
        return []
    endings = ", ".join(f"{ending} ({count:,})" for ending, count in sorted(counts.items()))
    return [f"passed over: {endings}; a camera's raw files and GIFs are not trained on: develop them into TIFF or PNG"]


_UNTRAINED: tuple[Format, ...] = ("raw", "gif")
SUFFIXES = tuple(suffix for suffix, kind in READ.items() if kind not in _UNTRAINED)
