"""Data sets by the way they lie on disk, found without being told.

To add one: write its `Layout`, and add it to `LAYOUTS`.
"""

from __future__ import annotations

from pathlib import Path

from nafnet.errors import DataError
from nafnet.train.data.layouts.base import SUFFIXES, Found, Layout, chosen_version
from nafnet.train.data.layouts.folders import GOPRO, GOPRO_CURATED, REDS
from nafnet.train.data.layouts.paired import INPUT_TARGET
from nafnet.train.data.layouts.sidd import SIDD_ARRAYS, SIDD_BLOCKS, SIDD_SCENES, find_array_of
from nafnet.words import counted

# A folder may fit several; the first that is complete counts.
LAYOUTS: tuple[Layout, ...] = (SIDD_ARRAYS, SIDD_SCENES, SIDD_BLOCKS, GOPRO, GOPRO_CURATED, REDS, INPUT_TARGET)


def find_data(root: Path, degraded: str = "") -> tuple[Layout, Found]:
    """The data set under a folder, or the one of an array `noisy_images_128.npy`, where several lie side by side.

    Args:
        root: the folder, or the array.
        degraded: the version that is wanted, where a data set has several; see `chosen_version`.

    Raises:
        DataError: the version is not there; or none of the layouts is, and the message shows them, a line each, and
            what is there instead.
    """
    if root.is_file() and (found := find_array_of(root)):
        return SIDD_ARRAYS, found
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for layout in LAYOUTS:
        if found := layout.find(root):
            found = chosen_version(root, found, degraded)
            if not any(len(pairs.names) for pairs in found.parts.values()):
                raise DataError(f"{root}: looks like {layout.name}, but holds no pair; expected {layout.expected}")
            return layout, found
    raise DataError(
        f"{root}: no data set is recognised; found {_contents(root)}. Give your own pairs by their folders, "
        "--input DIR --target DIR, or lay them out in one of these ways:",
        [f"{layout.name:16} {layout.expected}" for layout in reversed(LAYOUTS)],
    )


def _contents(root: Path) -> str:
    """What lies in a folder, in a few words."""
    entries = sorted(root.iterdir())
    folders = [f"{entry.name}/" for entry in entries if entry.is_dir()]
    images = sum(entry.suffix.lower() in SUFFIXES for entry in entries)
    arrays = [entry.name for entry in entries if entry.suffix in (".npy", ".mat")]
    shown = [*folders[:6], *arrays[:6], *(["..."] if len(folders) + len(arrays) > 12 else [])]
    return f"{', '.join(shown) or 'no folder or array'}, and {counted(images, 'image')}"
