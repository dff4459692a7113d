"""Where a format writes, and with what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.export.attempts.attempt import Note
from nafnet.export.engines.builder import EngineSettings
from nafnet.steps import OnStep, unwatched


@dataclasses.dataclass(kw_only=True)
class Target:
    """Where a format writes, and with what."""

    folder: Path
    stem: str
    """The name of the files, without an ending."""
    engine: EngineSettings
    note: Note
    """Told in a line what is going on."""
    on_step: OnStep = unwatched
    """Told how far it is."""
    written: dict[str, Path] = dataclasses.field(default_factory=dict)
    """The artefact of each format that is done."""
