"""What a run trains and is evaluated on: found, divided, prepared, and written down."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.progress import Progress

from nafnet.errors import DataError, UsageError
from nafnet.files import cache_folder
from nafnet.progress import busy, tracked
from nafnet.train.data.digests import DigestMemory, combined
from nafnet.train.data.examples import Examples, GeneratedExamples, PairExamples
from nafnet.train.data.image_store import open_images
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pair_store import PairStore, open_store
from nafnet.train.data.pairs import Pairs
from nafnet.train.data.splits import divide
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.evaluation import TRAIN, EvaluationSet, StoreSet, noisy_sets
from nafnet.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where pairs are."""

    root: Path | None = None
    """A data set, or the folder of degraded images."""
    target: Path | None = None
    """The folder of clean images, where the two are apart."""
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
    """Refuse folders for a recipe that makes its own images, and none for one that does not.

    Raises:
        UsageError: the message says which command was meant.
    """
    if recipe.generated is not None and source.root is not None:
        pairs = f"--input {source.root} --target {source.target}" if source.target else f"--data {source.root}"
        raise UsageError(
            f"the recipe {recipe.name} makes its own training images and takes no folders of pairs. "
            f"For your own pairs: nafnet-train pairs {pairs}. For clean photographs: --clean FOLDER"
        )
    if recipe.generated is None and source.root is None:
        made_for = f", as {' or '.join(recipe.layouts)}" if recipe.layouts else ""
        raise UsageError(
            f"the recipe {recipe.name} trains on pairs of images: give --input DIR --target DIR, "
            f"or --data DIR (a data set as it was downloaded{made_for}; `nafnet-train data DIR` says what it is)"
        )


def open_data(recipe: Recipe, source: DataSource, run: Path, progress: Progress, world: World) -> RunData:
    """The data of a run; the leading process makes what is not there yet, the others wait for it.

    Raises:
        UsageError: a folder for a recipe that draws its images, or none for one that does not.
        DataError: the folder holds no data set, or one with faults and without `skip_bad`.
    """
    check_source(recipe, source)
    if recipe.generated is not None:
        return _generated(recipe, run, progress, world)
    return _paired(recipe, source, progress, world)


def _generated(recipe: Recipe, run: Path, progress: Progress, world: World) -> RunData:
    config = recipe.generated
    assert config is not None
    path = run / "images.npy"
    if world.leads:
        open_images(path, config, recipe.dead_leaves, progress)
    world.wait()
    images = open_images(path, config, recipe.dead_leaves, progress)
    trained, held_out = images[: config.images], images[config.images :]
    sets = noisy_sets(trained, held_out, recipe.camera)
    record = {"layout": "generated", "parts": {TRAIN: {"images": len(trained)}, "held out": {"images": len(held_out)}}}
    return RunData(GeneratedExamples(trained, recipe), dict(sets), record)


def _paired(recipe: Recipe, source: DataSource, progress: Progress, world: World) -> RunData:
    assert source.root is not None
    with busy(progress, f"looking for pairs in {source.root}"):
        if source.target is None:
            layout, found = find_data(source.root)
            name = layout.name
        else:
            name, found = "two folders", find_two(source.root, source.target)
    parts = divide(found.parts, recipe.split)
    faults = list(found.faults)
    whole: dict[str, Pairs] = {}
    for part, pairs in parts.items():
        indices = tracked(progress, range(len(pairs.names)), f"checking {part}")
        wrong = {index: fault for index in indices if (fault := pairs.fault(index))}
        faults += wrong.values()
        whole[part] = pairs.subset([index for index in range(len(pairs.names)) if index not in wrong])
    if faults and not source.skip_bad:
        few = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
        raise DataError(f"{few}. Mend them, or leave them out with --skip-bad; `nafnet-train data` lists all")
    stores, digests = _stores(recipe, whole, source, progress, world)
    config = recipe.evaluation
    shown = [part for part in (TRAIN, "validation" if "validation" in stores else "test") if part in stores]
    sets = {part: StoreSet(stores[part], config.images, config.window) for part in shown}
    record = {
        "layout": name,
        "root": str(source.root),
        "parts": {
            part: {
                "pairs": len(whole[part].names),
                "images": len(store),
                "names": list(whole[part].names),
                "sha256": digests[part],
            }
            for part, store in stores.items()
        },
    }
    left_out = (*faults, *(line for store in stores.values() for line in store.skipped))
    return RunData(PairExamples(stores[TRAIN], recipe), dict(sets), record, left_out)


def _stores(
    recipe: Recipe, parts: dict[str, Pairs], source: DataSource, progress: Progress, world: World
) -> tuple[dict[str, PairStore], dict[str, str]]:
    """The prepared pairs of each part, in a cache keyed by content and preparation, and the digest of each part."""
    memory = DigestMemory()
    stores, contents = {}, {}
    for part, pairs in parts.items():
        training = part == TRAIN
        indices = tracked(progress, range(len(pairs.names)), f"reading {part}")
        digests = [pairs.digest(index, memory) for index in indices]
        contents[part] = combined(digests)
        how = json.dumps({**dataclasses.asdict(recipe.prepare), "training": training})
        folder = cache_folder("pairs") / combined([how, *pairs.names, *digests])[:32]
        if world.leads:
            memory.save()
            open_store(folder, pairs, recipe.prepare, progress, training=training, skip_bad=source.skip_bad)
        world.wait()
        stores[part] = open_store(folder, pairs, recipe.prepare, progress, training=training, skip_bad=source.skip_bad)
    return stores, contents
