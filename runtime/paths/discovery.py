"""From what the user named as inputs to a list of photographs: folders are walked, patterns expanded."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.images.formats import SUFFIXES

_TOLD_EVERY = 500
_SYSTEM_NAMES = frozenset({
    "@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "lost+found", "__macosx",
    "thumbs.db",
})  # fmt: skip
"""What storage devices and systems put among photographs, thumbnails of them included; in lower case."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photograph:
    """A file to restore."""

    path: Path
    """As the user would name it."""
    inside: Path
    """Where its result goes, relative to the output folder, before it is given a format's ending."""
    real: str
    """Without links."""


@dataclasses.dataclass(kw_only=True)
class Found:
    """What was found of the inputs."""

    photographs: list[Photograph] = dataclasses.field(default_factory=list)
    folders: list[Path] = dataclasses.field(default_factory=list)
    """That were walked, without those below them."""
    unreadable: dict[Path, str] = dataclasses.field(default_factory=dict)
    """Folders that could not be listed, and why."""
    passed_over: Counter[str] = dataclasses.field(default_factory=Counter)
    """How many files and folders were passed over, by what they are."""


class Finder:
    """Collects photographs from inputs; each file once, in the order in which they are named.

    Args:
        exclude: patterns of what is passed over: with a slash they are matched to paths relative to the input, else
            to the names of files and folders. A * matches slashes, too.
        keep_folders: put each input's results below the folders that it was named with.
        on_count: told, now and then, how many were found so far.
    """

    def __init__(
        self,
        exclude: Iterable[str] = (),
        *,
        keep_folders: bool = False,
        on_count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._exclude = tuple(pattern.rstrip("/") for pattern in exclude)
        self._keep, self._on_count = keep_folders, on_count
        self._seen: set[tuple[str, Path]] = set()
        self._passed: set[Path] = set()
        self.found = Found()

    def add(self, named: Path) -> None:
        """Take a file, all of a folder, or what matches a pattern as "photos/**/*.jpg" that no shell has expanded.

        A folder's files without a picture's ending are passed over; a file that is named outright is tried whatever
        its name.

        Raises:
            UsageError: there is no such input.
        """
        if os.path.lexists(named):
            self._add_one(named, named if named.is_dir() else named.parent, self._kept(named))
            return
        if not glob.has_magic(str(named)):
            raise UsageError(f"{named}: no such file or folder")
        base = _fixed_part(named)
        # Unlike `glob.glob`, it goes into no link, which can lead out of a folder, or round in it for ever.
        matches = sorted(base.glob(str(named.relative_to(base))))
        if not matches:
            raise UsageError(f"{named}: nothing matches this pattern")
        for match in matches:
            self._add_match(match, base, named.suffix)

    def add_listed(self, path: Path) -> None:
        """Take a file of a list; a relative path keeps its folders, others go straight into the output."""
        real = os.path.realpath(path)
        inside = path if not path.is_absolute() and ".." not in path.parts else Path(path.name)
        if inside.name in ("", ".."):  # a folder, which fails in its turn under its own name
            inside = Path(Path(real).name or "root")
        self._take(path, inside, real)

    def _add_match(self, path: Path, base: Path, ending: str) -> None:
        inside = path.relative_to(base)
        if any((base / each).is_symlink() for each in inside.parents if each.name):
            self._pass_over(path, "links to folders")
            return
        if any(self._is_passed_over(base / each, inside) for each in (inside, *inside.parents) if each.name):
            return
        # A file of another ending was named if the pattern ends so.
        if path.is_dir() or (ending and path.suffix == ending) or self._is_picture(path):
            self._add_one(path, base, self._kept(base))

    def _add_one(self, path: Path, base: Path, prefix: Path) -> None:
        if not path.is_dir():
            self._take(path, prefix / path.relative_to(base), os.path.realpath(path))
            return
        self.found.folders.append(path)
        self._walk(path, base, prefix)

    def _walk(self, top: Path, base: Path, prefix: Path) -> None:
        """A folder's own files by name, then its folders; links to folders can lead round in it, and are left."""
        root = os.path.realpath(top)
        for folder, real, files in _listed(top, root, self._enters, self._note_unreadable):
            inside = prefix / folder.relative_to(base)
            for entry in files:
                path = folder / entry.name
                if self._is_passed_over(path, path.relative_to(top)) or not self._is_picture(path):
                    continue
                linked = os.path.realpath(path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118, 40,000 times
                if entry.is_symlink() and not Path(linked).is_relative_to(root):
                    self._pass_over(path, "links out of their folder")
                    continue
                self._take(path, inside / entry.name, linked)

    def _enters(self, path: Path, top: Path) -> bool:
        if path.is_symlink():
            self._pass_over(path, "links to folders")
            return False
        return not self._is_passed_over(path, path.relative_to(top))

    def _is_passed_over(self, path: Path, inside: Path) -> bool:
        """Whether it is hidden, a system's own or excluded; `inside` is the path relative to the input."""
        name = path.name
        if name.startswith("."):
            self._pass_over(path, "hidden")
        elif name.lower() in _SYSTEM_NAMES:
            self._pass_over(path, name)
        elif any(fnmatch.fnmatchcase(inside.as_posix() if "/" in each else name, each) for each in self._exclude):
            self._pass_over(path, "excluded")
        else:
            return False
        return True

    def _is_picture(self, path: Path) -> bool:
        """Whether its name ends as a picture's that is read."""
        ending = path.suffix.lower()
        if ending not in SUFFIXES:
            self._pass_over(path, ending or "without an ending")
        return ending in SUFFIXES

    def _pass_over(self, path: Path, what: str) -> None:
        if path not in self._passed:
            self._passed.add(path)
            self.found.passed_over[what] += 1

    def _take(self, path: Path, inside: Path, real: str) -> None:
        if (real, inside) in self._seen:
            return
        self._seen.add((real, inside))
        self.found.photographs.append(Photograph(path=path, inside=inside, real=real))
        if len(self._seen) % _TOLD_EVERY == 0:
            self._on_count(len(self._seen))

    def _note_unreadable(self, folder: Path, error: OSError) -> None:
        self.found.unreadable[folder] = error.strerror or str(error)

    def _kept(self, named: Path) -> Path:
        """The folders that the results of an input go below."""
        if not self._keep:
            return Path()
        folder = named if named.is_dir() else named.parent
        return Path(folder.name) if folder.is_absolute() or ".." in folder.parts else folder


def passed_over(found: Found) -> str:
    """In words, the most first; nothing where there is nothing to say."""
    counts = [f"{what} ({count:,})" for what, count in found.passed_over.most_common(6)]
    others = len(found.passed_over) - len(counts)
    more = f" and {others} other kinds" if others > 0 else ""
    return f"passed over: {', '.join(counts)}{more}" if counts else ""


def _fixed_part(pattern: Path) -> Path:
    """The folder that all matches of a pattern lie in."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _listed(
    top: Path, root: str, enters: Callable[[Path, Path], bool],
    on_error: Callable[[Path, OSError], None],
) -> Iterator[tuple[Path, str, Sequence[os.DirEntry[str]]]]:  # fmt: skip
    """Each folder with its path without links and its files by name; one look at the disk for a folder."""
    waiting = [(top, root)]
    while waiting:
        folder, real = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            on_error(folder, error)
            continue
        inner = [entry for entry in listed if _is_folder(entry)]
        yield folder, real, [entry for entry in listed if not _is_folder(entry)]
        entered = [entry for entry in inner if enters(folder / entry.name, top)]
        waiting += [(folder / entry.name, os.path.join(real, entry.name)) for entry in reversed(entered)]  # noqa: PTH118


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle: reading it will fail
        return False
