"""What may be other in a run that goes on: what does not change what is learnt, and a later end.

The schedule, and stages by shares, are functions of a step and of the run's length. So from the step at which a run is
made longer it goes on as a run of the new length would from there; what was trained before stays.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from nafnet.errors import RecipeError
from nafnet.words import counted

LENGTH = ("steps", "epochs")
FREE: dict[str, tuple[str, ...]] = {"loop": (*LENGTH, "checkpoint_every", "keep_every")}
"""Fields of tables, beside all of [evaluation], that do not change what a step learns."""
SCORING = ("images", "train_images", "window", "tile", "local_pooling", "protocol")
"""Fields of [evaluation] by which scores are other ones; the rest say when to evaluate and when to stop."""

Tables = dict[str, Any]
"""A recipe as `Recipe.to_dict` gives it."""


@dataclasses.dataclass(frozen=True)
class Changes:
    """How the recipe of a run that goes on differs from before."""

    fields: tuple[str, ...] = ()
    """Those that differ, as `evaluation.every`."""
    length: tuple[int, int] | None = None
    """(steps before, steps now), where the run is made longer."""

    @property
    def scoring(self) -> bool:
        """Whether scores from before cannot be compared with those to come."""
        return any(field.removeprefix("evaluation.") in SCORING for field in self.fields if "evaluation" in field)

    def __bool__(self) -> bool:
        return bool(self.fields or self.length)

    def line(self, step: int) -> str:
        """What is other from `step` on, for the user."""
        told = [f"{', '.join(self.fields)} changed"] if self.fields else []
        if self.length:
            told.append(f"{counted(self.length[1], 'step')} in place of {self.length[0]:,}")
        return f"from step {step} on: {', '.join(told)}"


def learnt(tables: Tables) -> Tables:
    """The part of a recipe that says what is learnt."""
    kept = {name: value for name, value in tables.items() if name not in ("name", "evaluation")}
    for table, fields in FREE.items():
        kept[table] = {name: value for name, value in kept[table].items() if name not in fields}
    return kept


def different(before: Tables, now: Tables) -> list[str]:
    """The fields that differ, as `loop.seed`; a whole table where it is one in one of the two alone."""
    found = []
    for name in now:
        old, new = before.get(name), now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{name}.{field}" for field in new if old.get(field) != new[field]]
        elif old != new:
            found.append(name)
    return found


def changes(run: Path, before: Tables, now: Tables, lengths: tuple[int, int]) -> Changes:
    """What is other, of what may be.

    Args:
        run: the folder.
        before: the recipe so far.
        now: the recipe that is given.
        lengths: the steps of the run, before and now.

    Raises:
        RecipeError: the run would become shorter.
    """
    old, new = lengths
    if new < old:
        raise RecipeError(
            f"{run} holds a run of {counted(old, 'step')}, and these are {new:,}: it can be made longer, not shorter; "
            f"give --steps {old}, or choose another folder with -o"
        )
    free = [field for field in different(before, now) if field not in different(learnt(before), learnt(now))]
    fields = [field for field in free if field != "name" and field.removeprefix("loop.") not in LENGTH]
    return Changes(tuple(fields), (old, new) if new > old else None)
