"""The parts of a data set, each in a store of its own: checked, hashed by one process for all, prepared, held.

A store's key is the content of its pairs, how they are prepared, and the version of the code that does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.progress import Progress

from nafnet.errors import DataError
from nafnet.files import cache_folder
from nafnet.progress import tracked
from nafnet.train.data.digests import DigestMemory, combined
from nafnet.train.data.disk import WORTH_SAYING, require_room
from nafnet.train.data.pair_store import VERSION, PairStore, bytes_there, open_store, stored_size
from nafnet.train.data.pairs import Pairs, Shape
from nafnet.train.data.stores import PAIRS, Hold, note_use
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.data_tables import PrepareConfig
from nafnet.words import counted, in_bytes

TRAIN = "train"
"""The part that is mirrored and cut as for training."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """Pairs of a part that are whole, as far as their headers tell."""

    pairs: Pairs
    shapes: tuple[Shape, ...]
    faults: tuple[str, ...]
    """What is wrong with the others, a line each."""


def checked(parts: Mapping[str, Pairs], progress: Progress, world: World) -> dict[str, Checked]:
    """Look at every header, in one process for all."""
    found: dict[str, list[Shape | str]] = {}
    if world.leads:
        for part, pairs in parts.items():
            numbers = tracked(progress, range(len(pairs.names)), f"checking {part}")
            found[part] = [_shape(pairs, index) for index in numbers]
    # The pairs themselves are not sent: they may be arrays.
    return {part: _checked(parts[part], shapes) for part, shapes in world.same(found).items()}


def _shape(pairs: Pairs, index: int) -> Shape | str:
    """Or what is wrong with a pair."""
    try:
        return pairs.shape(index)
    except DataError as error:
        return str(error)


def _checked(pairs: Pairs, found: Sequence[Shape | str]) -> Checked:
    whole = [index for index, shape in enumerate(found) if isinstance(shape, Shape)]
    return Checked(
        pairs.subset(whole),
        tuple(shape for shape in found if isinstance(shape, Shape)),
        tuple(fault for fault in found if isinstance(fault, str)),
    )


@dataclasses.dataclass(frozen=True)
class PartStore:
    """A part, prepared."""

    store: PairStore
    sha256: str
    """Of its pairs' content."""
    hold: Hold


def open_parts(
    parts: Mapping[str, Checked], config: PrepareConfig, source: str, progress: Progress, world: World,
    say: Callable[[str], None], *, skip_bad: bool = False,
) -> dict[str, PartStore]:  # fmt: skip
    """The store of each part; the leading process makes what is not there yet, the others wait for it.

    Args:
        parts: by name.
        config: how they are prepared.
        source: where they are from, for `nafnet-train cache`.
        progress: gets a task for each thing that takes time.
        world: the processes.
        say: takes a line for the user, of how much is to be written.
        skip_bad: leave out pairs that cannot be decoded.

    Raises:
        DataError: a pair cannot be read, or the disk has not the room.
        OutputError: the disk refuses.
    """
    digests: dict[str, list[str]] = world.same(_digests(parts, progress) if world.leads else {})
    home = cache_folder(PAIRS)
    folders = {part: home / _key(each.pairs, digests[part], config, part) for part, each in parts.items()}
    made = {}
    with contextlib.ExitStack() as stack:
        holds = {part: stack.enter_context(contextlib.closing(Hold(folder))) for part, folder in folders.items()}
        if world.leads:
            _require_room(home, parts, folders, config, say)
        for part, each in parts.items():
            if world.leads:
                _open(folders[part], each.pairs, config, part, progress, skip_bad=skip_bad)
            world.wait()
            store = _open(folders[part], each.pairs, config, part, progress, skip_bad=skip_bad)
            if world.leads:
                note_use(folders[part], source, part, len(store))
            made[part] = PartStore(store, combined(digests[part]), holds[part])
        stack.pop_all()  # all went well: they are the caller's
    return made


def _open(
    folder: Path, pairs: Pairs, config: PrepareConfig, part: str, progress: Progress, *, skip_bad: bool
) -> PairStore:
    return open_store(folder, pairs, config, progress, training=part == TRAIN, skip_bad=skip_bad)


def _digests(parts: Mapping[str, Checked], progress: Progress) -> dict[str, list[str]]:
    """Of every pair; what was read is remembered even where a run is stopped in the midst of it."""
    memory = DigestMemory()
    try:
        return {
            part: [
                each.pairs.digest(index, memory)
                for index in tracked(progress, range(len(each.pairs.names)), f"reading {part}")
            ]
            for part, each in parts.items()
        }
    finally:
        memory.save()


def _key(pairs: Pairs, digests: Sequence[str], config: PrepareConfig, part: str) -> str:
    how = json.dumps({"version": VERSION, **dataclasses.asdict(config), "training": part == TRAIN})
    return combined([how, *pairs.names, *digests])[:32]


def _require_room(
    home: Path, parts: Mapping[str, Checked], folders: Mapping[str, Path], config: PrepareConfig,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    needed, told = 0, []
    for part, each in parts.items():
        if (there := bytes_there(folders[part])) is not None:
            sizes = stored_size(each.shapes, config, training=part == TRAIN)
            needed += max(sum(sizes) - there, 0)
            told.append(f"{part} {counted(len(sizes), 'image')}")
    what = f"prepared once, {', '.join(told)} take"
    free = require_room(home, what, needed)
    if needed >= WORTH_SAYING:
        say(f"{what} {in_bytes(needed)} of the {in_bytes(free)} that are free in {home}")
