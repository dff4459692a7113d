"""`nafnet-train data DIR`: what lies there, how it would be divided, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from nafnet.errors import DataError
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pairs import Pairs
from nafnet.train.data.splits import divide
from nafnet.train.recipes.data_tables import SplitConfig

MOST_FAULTS = 20


def print_data(root: Path, target: Path | None, seed: int, *, decode: bool) -> int:
    """Look at every file's header and print a table; returns the exit code, 1 where pairs are missing or damaged.

    Args:
        root: the data set, or the folder of degraded images.
        target: the folder of clean images, where the two are apart.
        seed: of the split.
        decode: read every pixel, too.

    Raises:
        DataError: there is no data set.
    """
    console = Console()
    if target is None:
        layout, found = find_data(root)
        name = layout.name
    else:
        name, found = "two folders", find_two(root, target)
    faults = list(found.faults)
    parts = divide(found.parts, SplitConfig(seed=seed))
    table = Table("part", "pairs", "scenes", "first pair", "size", title=f"{root}: {name}")
    for part, pairs in parts.items():
        indices = track(range(len(pairs.names)), f"checking {part}", transient=True)
        damaged = [_fault(pairs, index, decode=decode) for index in indices]
        faults += [fault for fault in damaged if fault]
        good = next((index for index, fault in enumerate(damaged) if fault is None), None)
        if good is None:
            raise DataError(f"{root}: no pair of {part} is whole; the first says: {faults[-len(damaged)]}")
        height, width = pairs.load(good)[0].shape[:2]
        scenes = len({name.rpartition("/")[0] for name in pairs.names})
        table.add_row(part, str(len(pairs.names)), str(scenes), pairs.names[0], f"{width}x{height}")
    console.print(table)
    for fault in faults[:MOST_FAULTS]:
        console.print(f"wrong: {fault}", highlight=False, markup=False, soft_wrap=True)
    if len(faults) > MOST_FAULTS:
        console.print(f"and {len(faults) - MOST_FAULTS} more")
    return 1 if faults else 0


def _fault(pairs: Pairs, index: int, *, decode: bool) -> str | None:
    fault = pairs.fault(index)
    if fault is None and decode:
        try:
            pairs.load(index)
        except DataError as error:
            return str(error)
    return fault
