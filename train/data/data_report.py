"""`nafnet-train data DIR`: what lies there, how it would be divided, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from nafnet.errors import DataError, UsageError
from nafnet.progress import LoggedProgress, PlainConsole, busy, tracked
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pairs import Pairs
from nafnet.train.data.splits import divide
from nafnet.train.recipes.data_tables import SplitConfig

MOST_FAULTS = 20


def print_data(folder: Path | None, inputs: Path | None, targets: Path | None, seed: int, *, decode: bool) -> int:
    """Look at every file's header and print a table; returns the exit code, 1 where pairs are missing or damaged.

    Args:
        folder: the data set.
        inputs: in place of it the folder of degraded images,
        targets: and that of clean ones.
        seed: of the split.
        decode: read every pixel, too.

    Raises:
        UsageError: neither the one nor the others are given, or all are.
        DataError: there is no data set.
    """
    if bool(inputs) != bool(targets):
        raise UsageError("--input and --target go together; give both")
    root = folder or inputs
    if root is None or (folder and inputs):
        raise UsageError("give the FOLDER of a data set, or in place of it --input DIR --target DIR")
    with LoggedProgress() as progress, busy(progress, f"looking for pairs in {root}"):
        if targets:
            name, found = "two folders", find_two(root, targets)
        else:
            layout, found = find_data(root)
            name = layout.name
    faults = list(found.faults)
    parts = divide(found.parts, SplitConfig(seed=seed))
    table = Table("part", "pairs", "scenes", "first pair", "size", title=f"{root}: {name}")
    for part, pairs in parts.items():
        with LoggedProgress() as progress:
            indices = tracked(progress, range(len(pairs.names)), f"checking {part}")
            damaged = [_fault(pairs, index, decode=decode) for index in indices]
        faults += [fault for fault in damaged if fault]
        good = next((index for index, fault in enumerate(damaged) if fault is None), None)
        if good is None:
            raise DataError(f"{root}: no pair of {part} is whole; the first says: {faults[-len(damaged)]}")
        height, width = pairs.load(good)[0].shape[:2]
        scenes = {name.rpartition("/")[0] for name in pairs.names}
        told = "-" if scenes == {""} else str(len(scenes))
        table.add_row(part, str(len(pairs.names)), told, pairs.names[0], f"{width}x{height}")
    console = PlainConsole()
    console.print(table)
    for fault in faults[:MOST_FAULTS]:
        console.print(f"wrong: {fault}", soft_wrap=True)
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
