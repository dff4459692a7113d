"""Whether the fields of a spec are of the types they are declared with: the text they came from may be anybody's."""

from __future__ import annotations

import dataclasses
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nafnet.errors import SpecError


def known_fields(kind: type, fields: object) -> dict[str, Any]:
    """Of a JSON object the fields that a dataclass has; a later version may have written more.

    Raises:
        SpecError: it is no object.
    """
    if not isinstance(fields, dict):
        raise SpecError(f"spec: {kind.__name__.lower()} is {str(fields)[:60]!r}; expected an object")
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in fields.items() if name in names}


def check_types(part: object, where: str = "") -> None:
    """Raise SpecError unless every field of a dataclass is of the type it is declared with.

    Args:
        where: what the message puts before the field's name.
    """
    for name, kind in get_type_hints(type(part)).items():
        value = getattr(part, name)
        if not _is_of(value, kind):
            raise SpecError(f"spec: {where}{name} is {str(value)[:60]!r}; expected {str(kind).replace('typing.', '')}")


def _is_of(value: object, kind: Any) -> bool:
    """Whether a value is of a type, as far as the fields above use types."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (UnionType, Union):
        return any(_is_of(value, each) for each in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return len(kinds) == len(value) and all(map(_is_of, value, kinds))
    if origin is dict:
        return isinstance(value, dict) and all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
