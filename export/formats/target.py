"""Where a format writes, and with what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nafnet.export.attempts.attempt import Exported, Note
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.web.library import Library
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
    half: Exported | None = None
    """The same in fp16, for a format that holds both; None where it is not wanted, or was refused."""
    library: Library | None = None
    """Of the format web: what runs the model in a browser."""
    card: Path | None = None
    """A document about the checkpoint, in Markdown."""
    written: dict[str, Path] = dataclasses.field(default_factory=dict)
    """The artefact of each format that is done."""
