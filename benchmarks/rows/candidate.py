"""One row of `nafnet-bench`, in words that travel to another process. Imports no inference library."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from nafnet.parity import Arithmetic
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.model import Model
from nafnet.spec import ModelSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row: enough to open it here, or in a process of its own."""

    name: str
    backend: str
    """Of `candidates.BACKENDS`."""
    target: str
    """module:class."""
    precision: Arithmetic
    """Whose gate it has to pass."""
    model: Model
    device: str = "cpu"
    prepared: bool = False
    """Whether it is loaded for the tile's very shape, as the runtime does by itself in a long run."""
    shape: tuple[int, int] | None = None
    """(batch, tile) that its model is made for, and no other; None: any."""

    def open(self, threads: int) -> Backend:
        """Load it.

        Raises:
            NafnetError: the library cannot.
        """
        module, _, attribute = self.target.partition(":")
        kind: type[Backend] = getattr(importlib.import_module(module), attribute)
        return kind(self.model, threads, self.device)

    def to_dict(self) -> dict[str, Any]:
        """JSON's own types."""
        model = {"path": str(self.model.path), "spec": self.model.spec.to_json()}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "model": model}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Candidate:
        """What `to_dict` gave."""
        given = fields["model"]
        model = Model(path=Path(given["path"]), spec=ModelSpec.from_json(given["spec"]))
        shape = fields.get("shape")  # of JSON it comes back as a list
        return cls(**{**fields, "model": model, "shape": shape and tuple(shape)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Absent:
    """A row that cannot be, and why."""

    name: str
    backend: str
    reason: str
