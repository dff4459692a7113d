"""What `nafnet-train test` tests, and on which pictures: such as neither trained it nor chose its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nafnet.checkpoint import Checkpoint, load_checkpoint
from nafnet.errors import DataError, UsageError
from nafnet.train.data.layouts.base import Found
from nafnet.train.data.pairs import Pairs
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.recipe_files import bundled_recipes, load_recipe
from nafnet.train.run.run_record import RECIPE, RECORD, read_record
from nafnet.train.run.validation import BEST
from nafnet.words import counted


@dataclasses.dataclass(frozen=True)
class Subject:
    """Weights, and the run that they are of where there is one."""

    checkpoint: Checkpoint
    folder: Path | None
    """Of the run."""
    record: dict[str, Any] | None
    """Its run.json."""


def subject_of(path: Path) -> Subject:
    """A run's best weights; or a checkpoint, which is its run's where it lies in a run's folder.

    Raises:
        CheckpointError: it is not there, or cannot be used.
        UsageError: the folder is no run's, or has no weights yet.
    """
    folder = path if path.is_dir() else path.parent
    record = read_record(folder) if (folder / RECORD).exists() else None
    if path.is_dir() and record is None:
        raise UsageError(f"{path}: no run of nafnet-train; expected a run's folder, or a checkpoint")
    if path.is_dir() and not (path / BEST).exists():
        raise UsageError(f"{path}: has no {BEST} yet, which comes with the first evaluation; name a checkpoint in it")
    checkpoint = load_checkpoint(path / BEST if path.is_dir() else path)
    return Subject(checkpoint, folder if record else None, record)


def rules_for(subject: Subject, layout: str, name: str | None, overrides: Iterable[str]) -> tuple[Recipe, str]:
    """The recipe that says how it is evaluated, and what that is, in words: the one named, the run's, or a bundled one
    that was made for this data set and this network; else the defaults, with what the weights say of themselves.

    Raises:
        RecipeError: it cannot be read.
    """
    overrides = list(overrides)
    if name is not None:
        return load_recipe(name, overrides), f"as {name} evaluates"
    if subject.folder is not None:
        return load_recipe(str(subject.folder / RECIPE), overrides), "as its run was evaluated"
    spec = subject.checkpoint.spec
    for each in bundled_recipes():
        recipe = load_recipe(each)
        theirs = layout.removesuffix("-validation") in recipe.layouts  # SIDD's blocks may lie by themselves
        if each.startswith("upstream/") and theirs and recipe.architecture == spec.architecture:
            known = [] if "local_pooling" in spec.assumed else [_pooling(spec.local_pooling)]
            return load_recipe(each, [*known, *overrides]), f"as {each} evaluates"
    return load_recipe("pairs", [_pooling(spec.local_pooling), *overrides]), "by the defaults"


def _pooling(chosen: bool) -> str:
    return f"evaluation.local_pooling={str(chosen).lower()}"


@dataclasses.dataclass(frozen=True)
class ChosenPart:
    """Pictures to test on."""

    name: str
    pairs: Pairs
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know, a line each."""


def part_to_test(found: Found, layout: str, subject: Subject, *, whole: bool) -> ChosenPart:
    """The part of a data set to test on.

    Of the data that a run trained on that is what it held out and never looked at: a half where it validated on the
    other half of the makers' test. Of other data it is the whole test part.

    Args:
        found: the data set.
        layout: its name.
        subject: what is tested.
        whole: take the makers' whole test part, though the run chose its weights by some of it.

    Raises:
        DataError: there is nothing that was not trained on.
    """
    own = _own_parts(found, layout, subject)
    if own and not whole:
        name, pairs = own[0]
        chosen = f"the data has no test part: by these {counted(len(pairs.names), 'picture')} the weights were chosen"
        return ChosenPart(name, pairs, () if name == "test" else (chosen,))
    name = next((part for part in ("test", "validation", "all") if part in found.parts), "")
    if not name or (own and name == "all"):
        reason = "the run trained on some of these" if own else "it has a part for training alone"
        raise DataError(f"no whole test part: the data set has none of its own, and {reason}")
    pairs, notes = found.parts[name], []
    if own:
        known = {each for part, theirs in own if part == "validation" for each in theirs.names} & set(pairs.names)
        notes = [f"by {len(known):,} of these {counted(len(pairs.names), 'picture')} the weights were chosen"]
    elif subject.record is not None:
        notes = ["other data than the run's: all of it that is not for training"]
    elif name == "all":
        notes = ["the data set has no parts: all of it, whatever these weights were trained on"]
    return ChosenPart(name, pairs, tuple(notes))


def _own_parts(found: Found, layout: str, subject: Subject) -> list[tuple[str, Pairs]]:
    """The parts that the run held out of this very data, test first; none where it is other data."""
    data = subject.record["data"] if subject.record else {}
    if data.get("layout") != layout:
        return []
    own = []
    for part in ("test", "validation"):
        names = data["parts"].get(part, {}).get("names", ())
        for pairs in found.parts.values():
            places = {name: index for index, name in enumerate(pairs.names)}
            if names and all(name in places for name in names):
                own.append((part, pairs.subset([places[name] for name in names])))
                break
    return own
