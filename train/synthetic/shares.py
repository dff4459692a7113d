"""Shares of images, as the tables of a recipe have them."""

from __future__ import annotations

from nafnet.errors import RecipeError


def check_shares(table: str, config: object, *names: str) -> None:
    """Raise RecipeError unless these fields of `config` lie between 0 and 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise RecipeError(f"recipe: [{table}] {name} = {getattr(config, name)}; expected 0 to 1")
