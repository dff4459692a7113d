"""run.json: which recipe on which data a folder's run is of, so that no other goes on in it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nafnet.errors import CheckpointError, RecipeError
from nafnet.files import PARTIAL_SUFFIX, write_whole
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.recipes.recipe_files import recipe_toml
from nafnet.train.run.changes import Changes, changes, different, learnt

RECORD, RECIPE = "run.json", "recipe.toml"
# What a process that was killed while it wrote may leave, by the names that a run writes; nobody else's.
_LEFT_OVER = (
    f".*.safetensors.*{PARTIAL_SUFFIX}", f".run.json.*{PARTIAL_SUFFIX}", f".recipe.toml.*{PARTIAL_SUFFIX}",
    f".images.npy.*{PARTIAL_SUFFIX}", f".steps.csv.*{PARTIAL_SUFFIX}", f".evaluations.csv.*{PARTIAL_SUFFIX}",
    f".curves.png.*{PARTIAL_SUFFIX}", f"states/.state-*{PARTIAL_SUFFIX}", f"samples/.step-*{PARTIAL_SUFFIX}",
)  # fmt: skip


def fingerprint(recipe: Recipe, data: dict[str, Any], initial: str | None) -> str:
    """SHA-256 of what must be the same for a run to go on: what the recipe says is learnt, the data's parts, the start.

    Args:
        recipe: of the run.
        data: see `write_record`.
        initial: SHA-256 of the weights it started from; None: random ones.
    """
    told = [learnt(recipe.to_dict()), data["parts"], initial]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def read_record(run: Path) -> dict[str, Any]:
    """What `write_record` wrote.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    try:
        record = json.loads((run / RECORD).read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not all(isinstance(record[key], dict) for key in ("recipe", "data")):
            raise ValueError("not a record")
        return record
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{run / RECORD}: damaged, or no run's ({error}); choose another folder with -o"
        ) from error


def begun_with_warm_up(run: Path) -> int | None:
    """The steps of warm-up that a folder's run began with; None where there is no run, or one that is damaged."""
    try:
        return int(read_record(run)["recipe"]["schedule"]["warmup_steps"])
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None  # what is wrong with it is said when the run begins


def write_record(run: Path, recipe: Recipe, data: dict[str, Any], **facts: Any) -> None:
    """Write run.json and recipe.toml, the recipe in full.

    Args:
        facts: further entries, such as the number of parameters.
    """
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": ".".join(map(str, sys.version_info[:3]))}
    record = {"recipe": recipe.to_dict(), "data": data, **facts, "versions": versions}
    write_whole(run / RECIPE, recipe_toml(recipe).encode())
    write_whole(run / RECORD, json.dumps(record, indent=1).encode())


def checked_changes(
    run: Path, recipe: Recipe, data: dict[str, Any], initial: str | None, steps: int
) -> Changes:  # fmt: skip
    """What is other in a run that goes on, of what may be.

    Raises:
        RecipeError: it is another run: what is learnt, the data or the start are other ones; the message says which
            fields differ. Or it would become shorter.
        CheckpointError: its record is damaged.
    """
    before = read_record(run)
    ours = json.loads(json.dumps({"recipe": recipe.to_dict(), "data": data}))
    try:
        changed = different(learnt(before["recipe"]), learnt(ours["recipe"]))
        length = int(before["steps"])
    except (KeyError, AttributeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{run / RECORD}: of another version ({error}); choose another folder with -o") from error
    if before["data"].get("parts") != ours["data"]["parts"]:
        changed.append("the data")
    if before.get("initial") != initial:
        changed.append("the weights to start from (--init)")
    if changed:
        raise RecipeError(
            f"{run} holds a run of another recipe: {', '.join(changed)} differ; choose another folder with -o"
        )
    return changes(run, before["recipe"], ours["recipe"], (length, steps))


def note_changes(run: Path, recipe: Recipe, changed: Changes, step: int, steps: int) -> None:
    """Write down what is other in a run from `step` on; `steps` is its length now."""
    before = read_record(run)
    entry = {"from": step, "fields": changed.fields, "steps": steps}
    record = {
        **before, "recipe": recipe.to_dict(), "steps": steps, "stages": recipe.starts(steps),
        "changes": [*before.get("changes", ()), entry],
    }  # fmt: skip
    write_whole(run / RECIPE, recipe_toml(recipe).encode())
    write_whole(run / RECORD, json.dumps(record, indent=1).encode())


def remove_leftovers(run: Path) -> None:
    """Delete what a killed process left half written."""
    for pattern in _LEFT_OVER:
        for path in run.glob(pattern):
            path.unlink(missing_ok=True)
