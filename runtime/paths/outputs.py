"""Every path that a run may write, and the one way in which a file takes its name.

The paths are checked together before the work: none is an input, none leaves its folder, no two are one file. When a
file is finished its path is asked again, and nothing is replaced but what stood there when the run decided to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from nafnet.errors import ImageError, UsageError
from nafnet.files import place_new
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import FOLDER
from nafnet.runtime.paths.real_paths import RealPaths, folded
from nafnet.system import SYSTEM

_KEEP = "rename one, or use --keep-folders, which puts them into folders of their own"
_EXCLUDE = "rename one, or leave one out with --exclude"
_START = 1024


@dataclasses.dataclass(frozen=True)
class Identity:
    """A file that stands at a path, as far as the disk tells without reading it."""

    is_file: bool
    """A regular one, no link."""
    bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Identity | None:
        """None where there is nothing."""
        try:
            state = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(stat.S_ISREG(state.st_mode), state.st_size, state.st_mtime_ns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """A single file that is written when the rest is done."""

    option: str
    """That names it."""
    path: Path
    mark: bytes
    """Stands in the first `_START` bytes of such a file, so that an earlier one may be replaced, and no other file."""
    expected: Identity | None
    """What stood there before the work."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a run may write. It is small and can be pickled; the paths of the jobs are checked by `check`.

    Args:
        folder: of the results, or the one file that is written; None where each job's own is to be believed.
        compare: a folder for comparisons.
        beside: the report and the page.
    """

    folder: Path | None = None
    compare: Path | None = None
    beside: tuple[Beside, ...] = ()

    def check(self, jobs: Sequence[Job], input_folders: Iterable[Path] = ()) -> None:
        """Refuse, before any work, what could lose a file.

        Args:
            jobs: all of the run.
            input_folders: that were walked for photographs.

        Raises:
            UsageError: two results would be one file, also where the file system takes two names for one; a result
                would replace an input; a path leaves the output folder by a link; results or comparisons would lie
                among the photographs, where the next run would take them for some.
        """
        input_folders = list(input_folders)
        real = RealPaths([*input_folders, *(job.source.parent for job in jobs)])
        is_file = any(job.target == self.folder for job in jobs)
        roots = [("", None if is_file else self.folder), ("--compare ", self.compare)]
        _refuse_inside(roots, input_folders, real)
        self._refuse_escapes(jobs, real)
        for file in self.beside:
            _refuse_stranger(file)
        planned = self._planned(jobs, real)
        inputs = {real.of(Path(job.real or os.path.realpath(job.source))): job.source for job in jobs}
        _refuse_inputs(planned, inputs)
        _refuse_folded(planned, inputs)
        self._refuse_among_photographs(jobs, real)
        if not is_file:
            _refuse_inside([("", folder) for folder in {job.target.parent for job in jobs}], input_folders, real)

    def ask(self, path: Path, expected: Identity | None) -> None:
        """Whether a finished file may have its name still.

        Args:
            path: the name.
            expected: what stood there when it was decided that it may be replaced; None for nothing.

        Raises:
            ImageError: something else stands there now, or the folder leads out of the output.
        """
        if not self._is_inside(path):
            raise ImageError(f"{path.parent}: leads out of the output folder; remove the link and run the same again")
        if Identity.of(path) != expected:
            raise _taken(path)

    def place(self, temporary: Path, path: Path, expected: Identity | None) -> None:
        """Give a finished file its name, on the terms of `ask`."""
        self.ask(path, expected)
        if expected is not None:
            SYSTEM.replace(temporary, path)
            return
        try:
            place_new(temporary, path)
        except FileExistsError as error:
            raise _taken(path) from error

    def _is_inside(self, path: Path) -> bool:
        if self.folder is None or any(path == file.path for file in self.beside):
            return True
        folder = Path(os.path.realpath(path.parent))
        roots = [self.folder.parent if path == self.folder else self.folder, *filter(None, (self.compare,))]
        return any(folder.is_relative_to(os.path.realpath(root)) for root in roots)

    def _planned(self, jobs: Sequence[Job], real: RealPaths) -> dict[Path, tuple[Path, str]]:
        """Every path that is written, without links: by what name, and for what.

        Raises:
            UsageError: two are one.
        """
        planned: dict[Path, tuple[Path, str]] = {}
        sources: dict[Path, Path] = {}
        for job in jobs:
            if other := sources.get(target := real.of(job.target)):
                advice = _EXCLUDE if other.parent == job.source.parent else _KEEP
                raise UsageError(f"{other} and {job.source} would both be written to {job.target}; {advice}")
            planned[target], sources[target] = (job.target, f"{job.source}: its output {job.target}"), job.source
        rest = [(job.sheet, f"{job.source}: its contact sheet {job.sheet}") for job in jobs if job.sheet]
        rest += [(job.compare, f"{job.source}: its comparison {job.compare}") for job in jobs if job.compare]
        for path, what in [*rest, *((file.path, f"{file.option} {file.path}") for file in self.beside)]:
            if real.of(path) in planned:
                raise UsageError(f"{what} would replace {planned[real.of(path)][1]}; choose another name or folder")
            planned[real.of(path)] = (path, what)
        folders = {folder for path in planned for folder in path.parents}
        for path, (named, what) in planned.items():
            if path in folders:
                raise UsageError(f"{what} is a folder of other results; choose another name")
            if FOLDER in named.parts:
                raise UsageError(f"{what} would lie among the journals in {FOLDER}; choose another name or folder")
        return planned

    def _refuse_escapes(self, jobs: Sequence[Job], real: RealPaths) -> None:
        """A link inside the output folder must not lead the results out of it."""
        for root, folders in ((self.folder, {job.target.parent for job in jobs if job.target != self.folder}),
                              (self.compare, {job.compare.parent for job in jobs if job.compare})):  # fmt: skip
            for folder in sorted(folders):
                if root and not real(folder).is_relative_to(real(root)):
                    raise UsageError(f"{folder}: leads out of the output folder {root}; remove the link")

    def _refuse_among_photographs(self, jobs: Sequence[Job], real: RealPaths) -> None:
        sources = {real(job.source.parent) for job in jobs}
        for job in jobs:
            if job.compare and real(job.compare.parent) in sources:
                raise UsageError(
                    f"--compare {self.compare}: {job.compare} would lie beside the photographs, and the next run would "
                    "take it for one; choose another folder"
                )


def make_folders(folders: Iterable[Path]) -> None:
    """Make what is not there.

    Raises:
        UsageError: one cannot be made or written to.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{folder}: is a file; expected a folder: choose another output") from error
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror}); choose another output") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"{folder}: no permission to write; choose another output")


def _taken(path: Path) -> ImageError:
    return ImageError(
        f"{path}: another program wrote it meanwhile, and it is left as it is; remove it, or choose another output"
    )


def _refuse_inside(
    folders: Iterable[tuple[str, Path | None]], walked: Sequence[Path], real: RealPaths
) -> None:  # fmt: skip
    """No folder that is written to lies in one that was walked. Each comes with the option that names it."""
    for option, folder in folders:
        for top in walked:
            if folder and real(folder).is_relative_to(real(top)):
                raise UsageError(
                    f"{option}{folder}: the output lies inside the input {top}, whose next run would take it for "
                    "photographs; choose a folder outside of it"
                )


def _refuse_stranger(file: Beside) -> None:
    if file.expected is None:
        return
    start = b""
    if file.expected.is_file:
        with file.path.open("rb") as opened:
            start = opened.read(_START)
    if file.mark not in start:
        raise UsageError(
            f"{file.option} {file.path}: is there and was not written by {file.option}; choose another, or remove it"
        )


def _refuse_folded(planned: dict[Path, tuple[Path, str]], inputs: dict[Path, Path]) -> None:
    """Where the file system takes a name in other letters for the same, as macOS' and Windows' do."""
    alike: dict[Path, list[Path]] = {}
    for path, source in inputs.items():
        alike.setdefault(path.with_name(folded(path.name)), []).append(source)
    for path, (named, what) in planned.items():
        for source in alike.get(path.with_name(folded(path.name)), ()):
            with contextlib.suppress(OSError):  # there is no such file
                if named.samefile(source):
                    raise UsageError(f"{what} would replace the input {source}; choose another output")


def _refuse_inputs(planned: dict[Path, tuple[Path, str]], inputs: dict[Path, Path]) -> None:
    for path, (named, what) in planned.items():
        replaced = inputs.get(path) or (inputs.get(Path(os.path.realpath(named))) if named.is_symlink() else None)
        if replaced:
            raise UsageError(f"{what} would replace the input {replaced}; choose another output")
