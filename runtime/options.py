"""The options of `nafnet-run`, and what follows from them alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from nafnet.images.formats import Format
from nafnet.page import MARK as PAGE_MARK
from nafnet.runtime.engine.look import Look
from nafnet.runtime.folder import report
from nafnet.runtime.folder.settings import Colour, Encoding, Limits
from nafnet.runtime.paths.outputs import Beside, Identity
from nafnet.words import printable

STDOUT = Path("-")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of the command, as its help explains them."""

    inputs: tuple[Path, ...]
    output: Path
    files_from: str | None
    model: str | None
    backend: str
    device: str | None
    tile: int | None
    overlap: int | None
    batch: int | None
    tune: bool
    whole: bool
    threads: int | None
    file_format: Format | None
    depth: int | None
    quality: int | None
    strength: tuple[float, ...]
    chroma: float | None
    detail: float
    colour: Colour
    compare: Path | None
    overwrite: bool
    keep_folders: bool
    exclude: tuple[str, ...]
    checksum: bool
    shard: str | None
    ray: str | None
    max_pixels: int
    decode_seconds: int
    decode_memory: int
    strict: bool
    report: Path | None
    html: Path | None
    dry_run: bool
    quiet: bool
    verbose: bool
    piped: bool = False
    """Standard output is for the picture alone."""

    def say(self, line: str) -> None:
        """Print a line where it disturbs nothing."""
        click.echo(printable(line), err=self.piped)

    @property
    def limits(self) -> Limits:
        return Limits(
            max_pixels=self.max_pixels, seconds=float(self.decode_seconds), memory=self.decode_memory * 2**20,
            strict=self.strict,
        )  # fmt: skip

    @property
    def encoding(self) -> Encoding:
        strength = 1.0 if self.strengths else self.strength[0]  # of several each job has its own
        look = Look(strength=strength, chroma=self.chroma, detail=self.detail)
        return Encoding(format=self.file_format, bits=self.depth, quality=self.quality, colour=self.colour, look=look)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Where each photograph has a result for each."""
        return self.strength if len(self.strength) > 1 else ()

    @property
    def beside(self) -> tuple[Beside, ...]:
        """The single files that are written when the rest is done."""
        named = (("--report", self.report, report.MARK), ("--html", self.html, PAGE_MARK))
        return tuple(
            Beside(option=option, path=path, mark=mark, expected=Identity.of(path))
            for option, path, mark in named
            if path
        )

    @property
    def model_options(self) -> dict[str, Any]:
        """The arguments of `Restorer.load`."""
        names = ("model", "backend", "device", "tile", "overlap", "batch", "threads", "whole")
        return {name: getattr(self, name) for name in names}
