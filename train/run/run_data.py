"""What a run trains and is evaluated on: found, divided, prepared, and written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from nafnet.errors import DataError, UsageError
from nafnet.files import cache_folder
from nafnet.progress import busy
from nafnet.train.data.clean_store import VERSION, CleanStore, write_store
from nafnet.train.data.digests import combined, read_digests
from nafnet.train.data.examples import CleanExamples, Examples, MixedExamples, PairExamples
from nafnet.train.data.generated_store import open_images
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.part_stores import checked, open_parts
from nafnet.train.data.photographs import Photographs, find_photographs
from nafnet.train.data.splits import divide, held_out
from nafnet.train.data.stores import CLEAN as CLEAN_STORES
from nafnet.train.data.stores import Hold, note_use
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.data_tables import GeneratedConfig
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.evaluation_sets import TRAIN, EvaluationSet, noisy_sets, pair_sets
from nafnet.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where pairs, or clean photographs, are."""

    root: Path | None = None
    """A data set, or the folder of degraded images."""
    target: Path | None = None
    """The folder of clean images, where the two are apart."""
    clean: tuple[Path, ...] = ()
    """Folders of clean photographs, instead of pairs."""
    skip_bad: bool = False


@dataclasses.dataclass(frozen=True)
class RunData:
    """What a run trains and is evaluated on."""

    examples: Examples
    evaluation: dict[str, EvaluationSet]
    record: dict[str, Any]
    """For run.json: the layout, counts before and after preparation, names of each part."""
    left_out: tuple[str, ...] = ()
    """A line for each pair that --skip-bad left out."""
    holds: tuple[Hold, ...] = ()
    """On the stores, which nobody removes before these are closed."""

    def close(self) -> None:
        """Let go of the stores."""
        for hold in self.holds:
            hold.close()

    @property
    def summary(self) -> str:
        """A line: what was found, and what each part has."""
        told = []
        for part, facts in self.record["parts"].items():
            images = counted(facts["images"], "image")
            cut = f" in {images}" if facts["images"] != facts.get("pairs") else ""
            told.append(f"{part} {counted(facts['pairs'], 'pair')}{cut}" if "pairs" in facts else f"{part} {images}")
        return f"{self.record['layout']}: {', '.join(told)}"


def check_source(recipe: Recipe, source: DataSource) -> None:
    """Refuse folders that a recipe has no use for, and none for one that needs some.

    Raises:
        UsageError: the message says which command was meant.
    """
    if recipe.noise is not None and source.root is not None:
        pairs = f"--input {source.root} --target {source.target}" if source.target else f"--data {source.root}"
        makes = "makes its own training images" if recipe.generated else "adds noise to clean photographs"
        raise UsageError(
            f"the recipe {recipe.name} {makes} and takes no folders of pairs. "
            f"For your own pairs: nafnet-train pairs {pairs}. For clean photographs: --clean FOLDER"
        )
    if recipe.noise is not None and recipe.generated is None and not source.clean:
        raise UsageError(f"the recipe {recipe.name} adds noise to clean photographs: give --clean FOLDER")
    if recipe.noise is None and source.clean:
        raise UsageError(
            f"the recipe {recipe.name} trains on pairs and adds no noise. For clean photographs: nafnet-train denoise "
            f"--clean {source.clean[0]}"
        )
    if recipe.noise is None and source.root is None:
        made_for = f", as {' or '.join(recipe.layouts)}" if recipe.layouts else ""
        raise UsageError(
            f"the recipe {recipe.name} trains on pairs of images: give --input DIR --target DIR, "
            f"or --data DIR (a data set as it was downloaded{made_for}; `nafnet-train data DIR` says what it is)"
        )


def open_data(
    recipe: Recipe, source: DataSource, run: Path, progress: Progress, world: World,
    say: Callable[[str], None] = lambda _: None,
) -> RunData:  # fmt: skip
    """The data of a run; the leading process makes what is not there yet, the others wait for it.

    Args:
        recipe: says what is made of it.
        source: where it is.
        run: the folder for images that are generated.
        progress: gets tasks.
        world: the processes.
        say: takes lines for the user, before the work that they are about.

    Raises:
        UsageError: a folder for a recipe that draws its images, or none for one that does not.
        DataError: the folder holds no data set, or one with faults and without `skip_bad`; or its parts share scenes,
            or the disk has not the room.
        OutputError: the disk refuses.
    """
    check_source(recipe, source)
    if source.clean:
        return _photographs(recipe, source, run, progress, world, say)
    if recipe.noise is not None:
        return _generated(recipe, run, progress, world)
    return _paired(recipe, source, progress, world, say)


def _generated(recipe: Recipe, run: Path, progress: Progress, world: World) -> RunData:
    config = recipe.generated
    assert config is not None
    images = _drawn(recipe, config, run, progress, world)
    trained, others = images[: config.images], images[config.images :]
    sets = noisy_sets(trained, others, recipe.camera, recipe.evaluation)
    record = {"layout": "generated", "parts": {TRAIN: {"images": len(trained)}, "held out": {"images": len(others)}}}
    return RunData(CleanExamples(trained, recipe), dict(sets), record)


def _drawn(recipe: Recipe, config: GeneratedConfig, run: Path, progress: Progress, world: World) -> NDArray[np.uint8]:
    path = run / "images.npy"
    if world.leads:
        open_images(path, config, recipe.dead_leaves, progress)
    world.wait()
    return open_images(path, config, recipe.dead_leaves, progress)


def _photographs(
    recipe: Recipe, source: DataSource, run: Path, progress: Progress, world: World, say: Callable[[str], None]
) -> RunData:
    """Clean photographs, and in the recipe's share of the examples generated images."""
    config = recipe.photographs
    with busy(progress, "looking for photographs"):
        found, faults = find_photographs(source.clean, max(recipe.patches) * config.reduce)
    _refuse_faults(faults, source)
    digests: list[str] = world.same(read_digests(found.paths, progress, "reading photographs") if world.leads else [])
    # A copy among the held-out would be one that was trained on.
    first = {digest: number for number, digest in reversed(list(enumerate(digests)))}
    numbers = sorted(first.values())
    if copies := len(digests) - len(numbers):
        faults = [*faults, f"{counted(copies, 'copy', 'copies')} of other photographs, each of which is taken once"]
        found, digests = found.subset(numbers), [digests[number] for number in numbers]
    folder = cache_folder(CLEAN_STORES) / combined([str(VERSION), str(config.reduce), *digests])[:32]
    hold = Hold(folder)
    if world.leads:
        write_store(folder, found, config.reduce, progress, say)
        note_use(folder, ", ".join(str(each.absolute()) for each in source.clean), "photographs", len(found.names))
    world.wait()
    parts = dict(zip((TRAIN, "held out"), held_out(len(found.names), config.held_out_share, config.seed), strict=True))
    stores = {part: CleanStore(folder, numbers) for part, numbers in parts.items()}
    sets = noisy_sets(stores[TRAIN], stores["held out"], recipe.camera, recipe.evaluation)
    record: dict[str, Any] = {
        "layout": "clean photographs",
        "root": [str(folder) for folder in source.clean],
        "parts": {part: _part(found, digests, numbers) for part, numbers in parts.items()},
    }
    examples: Examples = CleanExamples(stores[TRAIN], recipe)
    if recipe.generated is not None and recipe.generated.share:
        images = _drawn(recipe, recipe.generated, run, progress, world)[: recipe.generated.images]
        examples = MixedExamples(examples, CleanExamples(images, recipe), recipe.generated.share)
        record["parts"]["generated"] = {"images": len(images), "share": recipe.generated.share}
    return RunData(examples, dict(sets), record, tuple(faults), (hold,))


def _part(found: Photographs, digests: Sequence[str], numbers: Sequence[int]) -> dict[str, Any]:
    """What run.json says of some of the photographs."""
    names = [found.names[number] for number in numbers]
    return {"images": len(names), "names": names, "sha256": combined(digests[number] for number in numbers)}


def _refuse_faults(faults: Sequence[str], source: DataSource) -> None:
    if faults and not source.skip_bad:
        few = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
        lists = "" if source.clean else "; `nafnet-train data` lists all"
        raise DataError(f"{few}. Mend them, or leave them out with --skip-bad{lists}")


def _paired(
    recipe: Recipe, source: DataSource, progress: Progress, world: World, say: Callable[[str], None]
) -> RunData:
    assert source.root is not None
    with busy(progress, f"looking for pairs in {source.root}"):
        if source.target is None:
            layout, found = find_data(source.root, recipe.degraded)
            name = layout.name
        else:
            name, found = "two folders", find_two(source.root, source.target)
    division = divide(found, recipe.split)
    for note in division.notes:
        say(note)
    whole = checked(division.parts, progress, world)
    faults = [*found.faults, *(fault for each in whole.values() for fault in each.faults)]
    _refuse_faults(faults, source)
    whole = {part: each for part, each in whole.items() if each.shapes}
    if TRAIN not in whole:
        raise DataError(f"{source.root}: no pair is left to train on; the first says: {faults[0]}")
    where = str(source.root.absolute())
    parts = open_parts(whole, recipe.prepare, where, progress, world, say, skip_bad=source.skip_bad)
    stores = {part: each.store for part, each in parts.items()}
    record = {
        "layout": name,
        "root": str(source.root),
        "grouped": division.record,
        "parts": {
            part: {
                "pairs": len(whole[part].pairs.names),
                "images": len(each.store),
                "names": list(whole[part].pairs.names),
                "sha256": each.sha256,
            }
            for part, each in parts.items()
        },
    }
    left_out = (*faults, *(line for store in stores.values() for line in store.skipped))
    holds = tuple(each.hold for each in parts.values())
    return RunData(PairExamples(stores[TRAIN], recipe), pair_sets(stores, recipe.evaluation), record, left_out, holds)
