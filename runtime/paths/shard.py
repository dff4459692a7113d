"""A part of the work, for several machines at once that know nothing of each other."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Self

from nafnet.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """A part of the work: the results whose names fall to it, whatever else there is."""

    index: int = 1
    """From 1."""
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of "2/4".

        Raises:
            UsageError: it is not that.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text}: expected I/N with I from 1 to N, as 1/4")
        return cls(index=int(found[1]), count=int(found[2]))

    def has(self, name: str) -> bool:
        """Whether the result of this name, relative to the output folder, is its: the same on every machine."""
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"
