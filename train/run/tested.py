"""`nafnet-train test`: the test part, by the protocol, once; in a table beside the authors' figure, and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from rich.table import Table

from nafnet.architecture import channels_last
from nafnet.errors import DataError, TrainingError
from nafnet.files import write_whole
from nafnet.progress import PlainConsole, tracked
from nafnet.train.data.layouts import find_data
from nafnet.train.data.layouts.base import Found
from nafnet.train.data.layouts.folders import find_two
from nafnet.train.data.pairs import Pairs
from nafnet.train.data.part_stores import checked
from nafnet.train.data.prepare import Piece, prepared
from nafnet.train.processes.distributed import World
from nafnet.train.recipes.recipe import Recipe
from nafnet.train.run.evaluation import MOST_PSNR
from nafnet.train.run.published import Published, published
from nafnet.train.run.run_data import DataSource
from nafnet.train.run.scores import measured
from nafnet.train.run.subject import Subject, part_to_test, rules_for, subject_of
from nafnet.train.run.tiled import NoMemoryError, TiledModel, short_of_memory
from nafnet.train.run.trainer import set_tf32
from nafnet.train.synthetic.compression import as_unit
from nafnet.words import counted

CSV = "test.csv"
COLUMNS = ("picture", "psnr", "ssim")
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestedOptions:
    """What to test by which rules; see the command's help."""

    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    whole: bool = False
    csv: Path | None = None


@dataclasses.dataclass(frozen=True)
class PictureScores:
    """Of one picture, or of one piece of it where the recipe cuts what it evaluates."""

    name: str
    psnr: float
    """In dB."""
    ssim: float


@dataclasses.dataclass(frozen=True)
class Tested:
    """The result of a test."""

    pictures: tuple[PictureScores, ...]
    tiled: bool
    """Whether a picture was restored in tiles."""

    @property
    def psnr(self) -> float:
        """The mean, in dB."""
        return float(np.mean([each.psnr for each in self.pictures]))

    @property
    def ssim(self) -> float:
        """The mean."""
        return float(np.mean([each.ssim for each in self.pictures]))


def tell_of(
    path: Path, source: DataSource, options: TestedOptions, device: torch.device, progress: Progress, say: Say
) -> Tested:
    """Test a run or a checkpoint, print the table, and write the CSV.

    Raises:
        UsageError, RecipeError, CheckpointError, DataError: what is given cannot be used.
        TrainingError: the memory does not suffice, or what the network gives is not finite.
    """
    subject = subject_of(path)
    if subject.checkpoint.note:
        say(subject.checkpoint.note)
    layout, found, recipe, how = _found(source, subject, options)
    part = part_to_test(found, layout, subject, whole=options.whole)
    looked_at = checked({part.name: part.pairs}, progress, World())[part.name]
    if (faults := (*found.faults, *looked_at.faults)) and not source.skip_bad:
        raise DataError(f"{faults[0]}; {counted(len(faults), 'fault')}: mend them, or leave them out with --skip-bad")
    pairs, rules = looked_at.pairs, recipe.evaluation
    pooling = "local" if rules.local_pooling else "global"
    say(
        f"{layout}, {part.name}: {counted(len(pairs.names), 'picture')}, {how}: protocol {rules.protocol}, "
        f"{pooling} pooling"
    )
    for note in (*(f"left out: {fault}" for fault in faults), *part.notes):
        say(note)
    tested = tested_on(_model(subject, recipe, device, say), pairs, recipe, progress)
    _print(tested, subject, recipe, layout, say)
    if file := options.csv or (subject.folder and subject.folder / CSV):
        write_whole(file, _as_csv(tested).encode())
        say(f"picture by picture: {file}")
    return tested


def _found(source: DataSource, subject: Subject, options: TestedOptions) -> tuple[str, Found, Recipe, str]:
    """The data set with its layout's name, and the rules with what they are in words."""
    assert source.root is not None
    if source.target is not None:
        layout, found = "two folders", find_two(source.root, source.target)
        return layout, found, *rules_for(subject, layout, options.recipe, options.overrides)
    if subject.folder is None and options.recipe is None:  # then the data set says which rules
        of_root, found = find_data(source.root)
        return of_root.name, found, *rules_for(subject, of_root.name, None, options.overrides)
    recipe, how = rules_for(subject, "", options.recipe, options.overrides)
    of_root, found = find_data(source.root, recipe.degraded)
    return of_root.name, found, recipe, how


def _model(subject: Subject, recipe: Recipe, device: torch.device, say: Say) -> TiledModel:
    set_tf32(device, "fp32")
    network = channels_last(subject.checkpoint.build(local_pooling=recipe.evaluation.local_pooling)).to(device)
    multiple, tile = subject.checkpoint.spec.multiple, recipe.evaluation.tile
    return TiledModel(network, device, multiple=multiple, tile=tile, say=say)


@torch.inference_mode()
def tested_on(model: TiledModel, pairs: Pairs, recipe: Recipe, progress: Progress) -> Tested:
    """The scores of each picture, prepared as the recipe prepares what it evaluates; none is kept in memory.

    Raises:
        DataError: a picture cannot be decoded.
        TrainingError: the memory does not suffice, or what the network gives is not finite.
    """
    scores, tiled = [], False
    for piece in _pieces(pairs, recipe, progress):
        try:
            restored = model.restore(as_unit(piece.degraded))
            clean = torch.from_numpy(np.ascontiguousarray(as_unit(piece.clean).transpose(2, 0, 1)))
            psnr, ssim = measured(restored, clean.to(restored.device), recipe.evaluation.protocol)
        except (NoMemoryError, RuntimeError, MemoryError) as error:
            if not isinstance(error, NoMemoryError) and not short_of_memory(error):
                raise
            raise TrainingError(
                f"{piece.name}: out of memory in the smallest tiles; free some, or take another --device"
            ) from None
        if not np.isfinite(ssim) or np.isnan(psnr):
            raise TrainingError(f"{piece.name}: what the network gives is not finite")
        tiled = tiled or bool(model.tile and max(piece.degraded.shape[:2]) > model.tile)
        scores.append(PictureScores(piece.name, min(psnr, MOST_PSNR), ssim))
    return Tested(tuple(scores), tiled)


def _pieces(pairs: Pairs, recipe: Recipe, progress: Progress) -> Iterator[Piece]:
    for index in tracked(progress, range(len(pairs.names)), "testing"):
        yield from prepared(Piece(pairs.names[index], *pairs.load(index)), recipe.prepare, training=False)


def _print(tested: Tested, subject: Subject, recipe: Recipe, layout: str, say: Say) -> None:
    spec, rules = subject.checkpoint.spec, recipe.evaluation
    assert spec.architecture is not None
    rows = [(str(subject.checkpoint.source), len(tested.pictures), tested.psnr, tested.ssim)]
    theirs, apart = published(layout, spec.architecture), list[str]()
    if theirs is not None:
        apart = theirs.differences(
            len(tested.pictures), rules.protocol, local_pooling=rules.local_pooling, tiled=tested.tiled
        )
        rows += [] if apart else [("the authors' network", theirs.pictures, theirs.psnr, theirs.ssim)]
    table = Table("weights", "pictures", "PSNR, dB", "SSIM")
    for name, count, psnr, ssim in rows:
        table.add_row(name, f"{count:,}", f"{psnr:.2f}", f"{ssim:.4f}")
    PlainConsole(soft_wrap=True).print(table)
    if theirs is not None and apart:
        say(_incomparable(theirs, apart))


def _incomparable(theirs: Published, apart: Sequence[str]) -> str:
    figure = f"{theirs.psnr:.2f} dB / {theirs.ssim:.4f}"
    return f"not comparable with the {figure} of the authors' network: {'; '.join(apart)}"


def _as_csv(tested: Tested) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((each.name, f"{each.psnr:.6g}", f"{each.ssim:.6g}") for each in tested.pictures)
    return text.getvalue()
