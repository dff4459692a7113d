"""Recipes as TOML: the bundled ones, files of one's own, `--set table.key=value`; checked field by field."""

from __future__ import annotations

import dataclasses
import json
import textwrap
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nafnet.errors import RecipeError, SpecError
from nafnet.train.recipes.recipe import Recipe
from nafnet.words import counted, nearest

_FOLDER = "nafnet.train.recipes"


def bundled_recipes() -> list[str]:
    """The names that `load_recipe` knows: denoise, study/v1 and so on."""
    return sorted(name for name, _ in _entries(resources.files(_FOLDER), ""))


def _entries(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _entries(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".toml"):
            yield prefix + entry.name.removesuffix(".toml"), entry


def recipe_text(name: str) -> str:
    """A recipe as it is written; a bundled one says in its first line what it is.

    Raises:
        RecipeError: there is no such recipe.
    """
    bundled = dict(_entries(resources.files(_FOLDER), ""))
    if name in bundled:
        return bundled[name].read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path.read_text(encoding="utf-8")
    what = f"{name}: no such file" if path.suffix == ".toml" else f"no recipe is named {name!r}"
    if meant := nearest(name.removesuffix(".toml"), bundled):
        raise RecipeError(f"{what}; did you mean {' or '.join(meant)}? `nafnet-train list` says what there is")
    raise RecipeError(f"{what}; give the path of a .toml file, or one of these:", _in_lines(bundled))


def _in_lines(names: Iterable[str]) -> list[str]:
    """A line or more for the recipes of each folder."""
    folders = groupby(sorted(names), lambda name: name.rpartition("/")[0])
    return [line for _, group in folders for line in textwrap.wrap("  ".join(group), 100, break_on_hyphens=False)]


def with_steps(
    recipe: Recipe, steps: int, overrides: Iterable[str] = (), begun: int | None = None
) -> tuple[Recipe, str | None]:
    """The recipe for a run of `steps`, and a line for the user where its warm-up had to be shortened for that.

    A warm-up that does not fit becomes a tenth of the run; not one that the user chose.

    Args:
        recipe: as it is written.
        steps: of the run.
        overrides: what the user changed, see `load_recipe`.
        begun: steps of the warm-up of a run that is gone on with; where it was shortened then, it stays so.

    Raises:
        RecipeError: a warm-up among `overrides` does not fit.
    """
    loop, schedule, note = dataclasses.replace(recipe.loop, steps=steps, epochs=0), recipe.schedule, None
    chosen = any("warmup_steps" in override.partition("=")[0] for override in overrides)
    if begun is not None and begun < schedule.warmup_steps and not chosen:
        note = f"warm-up: {counted(begun, 'step')}, as the run began, in place of the recipe's {schedule.warmup_steps}"
        schedule = dataclasses.replace(schedule, warmup_steps=begun)
    elif schedule.warmup_steps >= steps and not chosen:
        note = (
            f"warm-up: {counted(steps // 10, 'step')} in place of the recipe's {schedule.warmup_steps}, since the run "
            f"has {counted(steps, 'step')}; --set schedule.warmup_steps=N chooses another"
        )
        schedule = dataclasses.replace(schedule, warmup_steps=steps // 10)
    return dataclasses.replace(recipe, loop=loop, schedule=schedule), note


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe by its bundled name, or from the path of a TOML file.

    A recipe may say `base = "study/v4"`, and then writes only what differs.

    Args:
        name: of the recipe.
        overrides: `table.key=value`, the value as in TOML (a string may do without quotes).

    Raises:
        RecipeError: no such recipe, not TOML, or an unknown or mistyped field.
    """
    tables = _with_base(name, ())
    for override in overrides:
        tables = _merged(tables, _parsed(override))
    short = name.removesuffix(".toml")
    try:
        return _built(Recipe, tables, Path(short).name if short != name else name, "")
    except SpecError as error:
        raise RecipeError(f"{name}: {error}") from error


def recipe_toml(recipe: Recipe) -> str:
    """The recipe in full, every default written out, as a file that `load_recipe` reads back as it is."""
    lines, tables = [], []
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if recipe.noise is None and field.name in ("photographs", "scene", "camera", "files"):
            continue  # pairs have their noise already
        if recipe.generated is None and field.name == "dead_leaves":
            continue
        if dataclasses.is_dataclass(value):
            rows = [f"{key} = {_toml(entry)}" for key, entry in vars(value).items()]
            tables.append("\n".join([f"\n[{field.name}]", *rows]))
        elif field.name != "name" and value is not None:
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    # Escapes of JSON are escapes of TOML; a pattern has backslashes.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _with_base(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name in seen:
        raise RecipeError(f"{name}: its base leads back to itself ({' -> '.join((*seen, name))})")
    try:
        tables = tomllib.loads(recipe_text(name))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: not TOML ({error})") from error
    base = tables.pop("base", None)
    return tables if base is None else _merged(_with_base(str(base), (*seen, name)), tables)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    for ours, other in (("steps", "epochs"), ("epochs", "steps")):  # each takes the place of the other
        if ours in above and other in below and other not in above:
            merged[other] = 0
    return merged


def _parsed(override: str) -> dict[str, Any]:
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set {override}: expected table.key=value, such as loop.batch=4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for key in reversed(path.strip().split(".")):
        value = {key: value}
    return dict(value)


def _built(kind: type[Any], values: Mapping[str, Any], recipe: str, table: str) -> Any:
    """A dataclass of a table; each value must have the field's type."""
    where = f"[{table}] " if table else ""
    types_of = get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind) if field.name != "name"]
    made: dict[str, Any] = {"name": recipe} if kind is Recipe else {}
    for key, value in values.items():
        if key not in known:
            meant = " or ".join(nearest(key, known))
            hint = f"did you mean {meant}?" if meant else f"it has {', '.join(known)}"
            raise RecipeError(f"{recipe}: {where}has no {key!r}; {hint}")
        expected = types_of[key]
        classes = [each for each in get_args(expected) or (expected,) if isinstance(each, type)]
        table_type = next(filter(dataclasses.is_dataclass, classes), None)
        if table_type is not None:
            if not isinstance(value, dict):
                raise RecipeError(f"{recipe}: [{key}] must be a table, got {value!r}")
            made[key] = _built(table_type, value, recipe, key)
        else:
            made[key] = _checked(value, expected, f"{recipe}: {where}{key} = {value!r}")
    return kind(**made)


def _checked(value: Any, expected: Any, complaint: str) -> Any:
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is tuple and isinstance(value, list):
        endless = len(arguments) == 2 and arguments[1] is Ellipsis
        if endless or len(arguments) == len(value):
            kinds = [arguments[0]] * len(value) if endless else arguments
            return tuple(_checked(entry, kind, complaint) for entry, kind in zip(value, kinds, strict=True))
    elif origin is Literal:
        if value in arguments:
            return value
        raise RecipeError(f"{complaint}; expected one of {', '.join(map(str, arguments))}")
    elif origin in (Union, types.UnionType):
        return _checked(value, next(entry for entry in arguments if entry is not type(None)), complaint)
    elif expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(expected, type) and isinstance(value, expected) and isinstance(value, bool) == (expected is bool):
        return value
    name = str(expected).replace("tuple", "list") if origin else expected.__name__
    raise RecipeError(f"{complaint}; expected {name}")
