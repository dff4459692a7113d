"""Recipes: everything a training run depends on, as a TOML file checked field by field."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from nafnet.train.dead_leaves import DeadLeavesConfig
from nafnet.train.noise import NoiseConfig

from nafnet.errors import RecipeError, SpecError
from nafnet.spec import Architecture

_Section = TypeVar("_Section")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Generated images, and the patches cut from them."""

    images: int = 1000
    """Images made before training starts."""
    held_out: int = 24
    """Further images, never trained on, for validation."""
    patch: int = 128
    """Side of the training patches in pixels."""
    images_seed: int = 0
    generator: DeadLeavesConfig = dataclasses.field(default_factory=DeadLeavesConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """The optimiser (AdamW), its schedule (cosine, after a linear warm-up) and the loop."""

    steps: int = 4000
    batch: int = 8
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 0.0
    gradient_clip: float = 0.01
    """Largest norm of the gradient; 0 turns clipping off."""
    checkpoint_every: int = 250
    validate_every: int = 1000
    seed: int = 0
    """Of the initial weights, and of every step's patches and noise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        if min(self.steps, self.batch, self.checkpoint_every, self.validate_every) < 1:
            raise RecipeError("recipe: [loop] steps, batch, checkpoint_every and validate_every must be at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run."""

    name: str
    task: str
    architecture: Architecture
    data: DataConfig
    noise: NoiseConfig
    loop: LoopConfig

    def to_dict(self) -> dict[str, Any]:
        """Plain values, equal for equal recipes; stored in the run, compared on resume."""
        return dataclasses.asdict(self)


def bundled_recipes() -> list[str]:
    """The names that `load_recipe` knows."""
    folder = resources.files("nafnet.train.recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """A recipe as it is written; a bundled one says in its first line what it is.

    Raises:
        RecipeError: there is no such recipe.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"{name}: no such file; bundled recipes are {', '.join(bundled_recipes())}")
        return path.read_text(encoding="utf-8")
    if name in bundled_recipes():
        return resources.files("nafnet.train.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    known = ", ".join(bundled_recipes())
    raise RecipeError(f"no recipe is named {name!r}; bundled are {known}, or give the path of a .toml file")


def load_recipe(name: str) -> Recipe:
    """A recipe by its bundled name, or from the path of a TOML file.

    Raises:
        RecipeError: no such recipe, not TOML, or an unknown or mistyped field.
    """
    try:
        return _recipe(Path(name).stem, tomllib.loads(recipe_text(name)))
    except (tomllib.TOMLDecodeError, SpecError) as error:
        raise RecipeError(f"{name}: {error}") from error


def _recipe(name: str, tables: dict[str, Any]) -> Recipe:
    known = {"task", "architecture", "data", "generator", "noise", "loop"}
    if unknown := set(tables) - known:
        raise RecipeError(f"{name}: unknown {', '.join(sorted(unknown))}; a recipe has {', '.join(sorted(known))}")
    generator = _section(DeadLeavesConfig, name, "generator", tables)
    return Recipe(
        name=name,
        task=str(tables.get("task", "restore")),
        architecture=_section(Architecture, name, "architecture", tables),
        data=dataclasses.replace(_section(DataConfig, name, "data", tables), generator=generator),
        noise=_section(NoiseConfig, name, "noise", tables),
        loop=_section(LoopConfig, name, "loop", tables),
    )


def _section(kind: type[_Section], recipe: str, name: str, tables: dict[str, Any]) -> _Section:
    """One table as its dataclass; a value must have the type of the field's default."""
    values = tables.get(name, {})
    if not isinstance(values, dict):
        raise RecipeError(f"{recipe}: [{name}] must be a table, got {values!r}")
    defaults = kind()
    for key, value in values.items():
        default = getattr(defaults, key, None)
        if default is None or dataclasses.is_dataclass(default):
            fields = ", ".join(vars(defaults))
            raise RecipeError(f"{recipe}: [{name}] has no {key!r}; it has {fields}")
        wanted: tuple[type, ...] = (list,) if isinstance(default, tuple) else (type(default),)
        if float in wanted:
            wanted = (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise RecipeError(f"{recipe}: [{name}] {key} = {value!r}; expected {wanted[-1].__name__}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
