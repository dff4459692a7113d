"""Where the time of a network goes, as a result has it. Times are in seconds."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class OperatorTime(TypedDict):
    """All operators of a kind in a level, in one run."""

    level: str
    """Of `profiles.levels.level_names`, or outside."""
    operator: str
    """Of `profiles.levels.KINDS`."""
    seconds: float
    count: int


class ProfileResult(TypedDict):
    """Where the time of a backend goes: of several runs, the one whose operators took the least time together."""

    name: str
    tile: int
    batch: int
    operators: NotRequired[list[OperatorTime]]
    """In the order of the levels."""
    failed: NotRequired[str]
