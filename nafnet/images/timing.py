"""How many pages or frames a file has, and how long each is shown."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Timing:
    """Pages, which are not shown one after the other by themselves, or frames, which are."""

    frames: int = 1
    """Of one size."""
    delays: tuple[int, ...] = ()
    """Milliseconds that each frame is shown; empty for pages."""
    loops: int = 0
    """How often an animation is shown; 0 is without end."""

    @property
    def is_animation(self) -> bool:
        """Whether there are several, and each has its time."""
        return self.frames > 1 and bool(self.delays)

    def to_json(self) -> list[Any]:
        """As JSON holds it."""
        return [self.frames, list(self.delays), self.loops]

    @classmethod
    def from_json(cls, fields: list[Any]) -> Timing:
        """What `to_json` gave."""
        frames, delays, loops = fields
        return cls(frames, tuple(delays), loops)


ONE_FRAME = Timing()
