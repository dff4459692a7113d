"""`nafnet-train data DIR`: what lies there, how a recipe would divide and store it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from nafnet.errors import DataError, UsageError
from nafnet.progress import LoggedProgress, PlainConsole, busy, tracked
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.base import Found
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pair_store import stored_size
from nafnet.train.data.pairs import Pairs, Shape
from nafnet.train.data.part_stores import TRAIN, checked
from nafnet.train.data.splits import Division, divide
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe import Recipe
from nafnet.words import counted, in_bytes

MOST_FAULTS = 20
_MOST_SCENES = 12


def print_data(folder: Path | None, inputs: Path | None, targets: Path | None, recipe: Recipe, *, decode: bool) -> int:
    """Look at every file's header and print a table; returns the exit code, 1 where pairs are missing or damaged.

    Args:
        folder: the data set.
        inputs: in place of it the folder of degraded images,
        targets: and that of clean ones.
        recipe: says how it is divided and prepared.
        decode: read every pixel, too.

    Raises:
        UsageError: neither the one nor the others are given, or all are.
        DataError: there is no data set, or it cannot be divided.
    """
    root, name, found = _found(folder, inputs, targets, recipe)
    faults = list(found.faults)
    division = divide(found, recipe.split)
    title = f"{root}: {name}"
    table = Table("part", "pairs", "scenes", "first pair", "size", f"store of {recipe.name}", title=title)
    with LoggedProgress() as progress:
        looked_at = checked(division.parts, progress, World())
    for part, whole in looked_at.items():
        pairs, wrong = division.parts[part], [*whole.faults, *(_damaged(whole.pairs, part) if decode else ())]
        faults += wrong
        if not whole.shapes:
            raise DataError(f"{root}: no pair of {part} is whole; the first says: {wrong[0]}")
        scenes = division.scenes(part)
        told = str(len(scenes)) if scenes else "-"
        size = sum(stored_size(whole.shapes, recipe.prepare, training=part == TRAIN))
        table.add_row(part, str(len(pairs.names)), told, pairs.names[0], _size(whole.shapes), in_bytes(size))
    console = PlainConsole()
    console.print(table)
    for line in (*_grouped(division), *division.notes, *_shown(faults)):
        console.print(line, soft_wrap=True)
    return 1 if faults else 0


def _found(folder: Path | None, inputs: Path | None, targets: Path | None, recipe: Recipe) -> tuple[Path, str, Found]:
    if bool(inputs) != bool(targets):
        raise UsageError("--input and --target go together; give both")
    root = folder or inputs
    if root is None or (folder and inputs):
        raise UsageError("give the FOLDER of a data set, or in place of it --input DIR --target DIR")
    with LoggedProgress() as progress, busy(progress, f"looking for pairs in {root}"):
        if targets:
            return root, "two folders", find_two(root, targets)
        layout, found = find_data(root, recipe.degraded)
        return root, layout.name, found


def _damaged(pairs: Pairs, part: str) -> list[str]:
    """What is wrong with pairs whose headers are right, found by decoding them."""
    faults = []
    with LoggedProgress() as progress:
        for index in tracked(progress, range(len(pairs.names)), f"decoding {part}"):
            try:
                pairs.load(index)
            except DataError as error:
                faults.append(str(error))
    return faults


def _size(shapes: Sequence[Shape]) -> str:
    """Of the first pair, and how many others there are."""
    first = shapes[0]
    deep = ", 16 bits" if any(shape.bits == 16 for shape in shapes) else ""
    others = len({(shape.height, shape.width) for shape in shapes}) - 1
    more = f" and {counted(others, 'other')}" if others else ""
    return f"{first.width}x{first.height}{more}{deep}"


def _grouped(division: Division) -> list[str]:
    """What pairs were grouped by, and the scenes of each part."""
    lines = [f"grouped by {division.rule.by}"]
    for part in division.parts:
        scenes = division.scenes(part)
        if scenes:
            more = f" and {len(scenes) - _MOST_SCENES} more" if len(scenes) > _MOST_SCENES else ""
            lines.append(f"  {part}: {', '.join(scenes[:_MOST_SCENES])}{more}")
    return lines


def _shown(faults: Sequence[str]) -> list[str]:
    few = [f"wrong: {fault}" for fault in faults[:MOST_FAULTS]]
    return [*few, f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else few
