"""Anybody's own pairs: two folders whose names say which is degraded and which is clean, perhaps for each part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nafnet.errors import DataError
from nafnet.train.data.layouts.base import Found, Layout
from nafnet.train.data.layouts.folders import pair_folders, unpaired

DEGRADED = ("noisy", "noise", "input", "inputs", "blur", "blurry", "blurred", "lq", "degraded")
CLEAN = ("clean", "target", "targets", "sharp", "gt", "hq")
"""In either case. Names that mean another size, such as lr and hr, are none of them."""
PARTS: Mapping[str, str] = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def _find(root: Path) -> Found | None:
    """noisy/ and clean/; or train/noisy/ and train/clean/; or noisy/train/ and clean/train/."""
    if sides := _sides(root):
        by_part = [_parts(side) for side in sides]
        shared = {part: (folder, by_part[1][part]) for part, folder in by_part[0].items() if part in by_part[1]}
        return _found(shared if "train" in shared else {"all": sides})
    above = {part: sides for part, folder in _parts(root).items() if (sides := _sides(folder))}
    return _found(above) if "train" in above else None


def _found(parts: Mapping[str, tuple[Path, Path]]) -> Found | None:
    made, faults = {}, []
    for part, (degraded, clean) in parts.items():
        made[part], more = pair_folders([("", degraded, clean)])
        faults += more
        if not made[part].names:
            raise DataError(unpaired(degraded, clean))
    return Found(parts=dict(made), faults=faults)


def _sides(root: Path) -> tuple[Path, Path] | None:
    """The folder of degraded images and that of clean ones; None unless there is one of each."""
    folders = _folders(root)
    degraded, clean = ([folders[name] for name in names if name in folders] for names in (DEGRADED, CLEAN))
    return (degraded[0], clean[0]) if len(degraded) == len(clean) == 1 else None


def _parts(root: Path) -> dict[str, Path]:
    """The folders for training, validation and test by the part they are for; without one that has two."""
    named = [(PARTS[name], folder) for name, folder in _folders(root).items() if name in PARTS]
    parts = [part for part, _ in named]
    return {part: folder for part, folder in named if parts.count(part) == 1}


def _folders(root: Path) -> dict[str, Path]:
    """By name in lower case."""
    return {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}


INPUT_TARGET = Layout(
    name="input-target",
    expected="input/ and target/, noisy/ and clean/, blur/ and sharp/, or lq/ and gt/; with train/, val/, test/ or not",
    find=_find,
)
