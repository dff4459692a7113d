"""The journal of an output folder: which input made which output, with which model and settings.

One file for each shard, `.nafnet-run/1-of-1.jsonl`, a line for each file that was written. The line is on the disk
before the file has its name, so whatever ends a run, even a power cut, a file of ours is known by its hash, and what
is not known is somebody else's. Shards write their own files and read all, so they need no coordination.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import stat
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Self

from nafnet.errors import OutputError, UsageError
from nafnet.files import open_bytes
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.leftovers import RunMark
from nafnet.runtime.paths.shard import Shard
from nafnet.system import SYSTEM, Lock

FOLDER = ".nafnet-run"
_LONGEST_LINE = 64 * 1024
_MOST_BYTES = 2**30
"""Of a journal: two million lines."""


def settings_key(settings: dict[str, Any]) -> str:
    """A short name of everything that decides a result's bytes."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A file that was written. A line of the journal is its fields as JSON; a reader passes over others."""

    event: str
    """`restored`, `compared` or `sheet`."""
    output: str
    """Of the file, relative to the output folder."""
    input: str
    """The absolute path of the photograph that it was made of,"""
    sha256: str
    """of its content,"""
    input_bytes: int = -1
    input_mtime_ns: int = -1
    key: str
    """See `settings_key`; of a comparison, the SHA-256 of the result that it shows; of a sheet, of all."""
    output_sha256: str = ""
    bytes: int
    mtime_ns: int
    time: float
    """Seconds since 1970."""

    @classmethod
    def parse(cls, line: builtins.bytes) -> Self | None:
        """None where the line is torn, or is no such record."""
        try:
            entry = json.loads(line)
            given = {field.name: entry[field.name] for field in dataclasses.fields(cls) if field.name in entry}
            record = cls(**given)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        known = all(isinstance(getattr(record, name), kind) for name, kind in _TYPES.items())
        return record if known and math.isfinite(record.time) else None


_TYPES: dict[str, Any] = {
    **dict.fromkeys(("event", "output", "input", "sha256", "key", "output_sha256"), str),
    **dict.fromkeys(("input_bytes", "input_mtime_ns", "bytes", "mtime_ns"), int), "time": (int, float),
}  # fmt: skip


class Journal:
    """Reads and writes the journal of an output folder, between `open` and `close`; several threads may write.

    Args:
        folder: the output folder.
        key: see `settings_key`.
        shard: which results are this run's.
        name: of the journal's file; None is the shard's.
    """

    def __init__(self, folder: Path, key: str, shard: Shard, *, name: str | None = None) -> None:
        self.folder, self.shard, self.key = folder, shard, key
        self.place = folder / FOLDER
        self._name = name or str(shard)
        self._records: dict[str, dict[Record, None]] = {}
        self._read_to: dict[Path, int] = {}
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self.mark = RunMark(self.place, folder)
        """Tells this run's temporary files."""
        self.locks = True
        """Whether the file system can keep a second run out."""

    @property
    def is_open(self) -> bool:
        """Whether it may be written to."""
        return self._file is not None

    def open(self, folders: Iterable[Path]) -> None:
        """Lock, mend and read; temporary files of runs that were killed are removed.

        Args:
            folders: all that this run will write to.

        Raises:
            UsageError: another run is writing into the folder, or the journal cannot be trusted or written.
        """
        path = self.place / f"{self._name}.jsonl"
        try:
            self.place.mkdir(exist_ok=True)
            if self.place.is_symlink():
                raise UsageError(f"{self.place}: is a link; remove it, or choose another output")
            self._file = _open_regular(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            state = SYSTEM.lock(self._file)
            if state is Lock.TAKEN:
                raise UsageError(
                    f"{self.folder}: another run is writing here as {self._name}; wait for it, or use --shard"
                )
            self.locks = state is Lock.OURS
            _mend(self._file)
            self.mark.open(folders)
            self.mark.remove_leftovers()
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error}); choose another output") from error
        self.reread()

    def reread(self) -> None:
        """Take in what has been written since the last time, by others, too.

        Raises:
            UsageError: what lies there as a journal is none.
        """
        for path in sorted(self.place.glob("*.jsonl")) if self.place.is_dir() else ():
            try:
                self._read(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error

    def of(self, path: Path) -> Sequence[Record]:
        """What is known of a file, the oldest first."""
        return list(self._records.get(self.name_of(path), ()))

    def name_of(self, path: Path) -> str:
        """A path as records have it, the same on every machine and by whichever links it is reached."""
        if path.is_relative_to(self.folder) and ".." not in path.parts:
            return path.relative_to(self.folder).as_posix()
        beside = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118, as relpath gives text
        return Path(os.path.relpath(beside, os.path.realpath(self.folder))).as_posix()

    def key_of(self, job: Job) -> str:
        """See `settings_key`; of one strength among several it does not depend on the others."""
        return self.key if job.strength is None else settings_key({"of": self.key, "strength": job.strength})

    def add(self, record: Record) -> None:
        """Record a file before it gets its name.

        Raises:
            OutputError: the disk refuses.
        """
        assert self._file is not None
        # One write to a file opened for appending: a kill leaves a whole line, or a torn one that is passed over.
        line = json.dumps(dataclasses.asdict(record)).encode() + b"\n"
        try:
            with self._lock:
                self._append(line)
            SYSTEM.sync(self._file)
        except OSError as error:
            raise OutputError(
                f"{self._file.name}: cannot be written ({error.strerror or error}); mend it and run the same again"
            ) from error
        self._note(record)

    def _append(self, line: builtins.bytes) -> None:
        """Write a line whole or not at all; a disk with room for a part of it takes the part and says nothing."""
        assert self._file is not None
        end = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)
            raise

    def _read(self, path: Path) -> None:
        with _open_regular(path, os.O_RDONLY) as file:
            file.seek(self._read_to.get(path, 0))
            while line := file.readline(_LONGEST_LINE):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    break  # somebody is writing it, or died of it
                self._read_to[path] = file.tell()
                if record := Record.parse(line):
                    self._note(record)

    def _note(self, record: Record) -> None:
        self._records.setdefault(record.output, {}).setdefault(record)

    def close(self) -> None:
        """Unlock; this run is no more, and what its lost workers left is removed."""
        if self._file:
            self.mark.remove_leftovers()
        self.mark.close()
        if self._file:
            self._file.close()
        self._file = None


def _open_regular(path: Path, flags: int) -> IO[bytes]:
    """Open a file that is a file, without buffering where it is written.

    A link would be followed to somebody else's file, and a pipe would wait for ever.

    Raises:
        UsageError: it is none, or too large.
    """
    if path.is_symlink():  # said in words where the system has no flag for it
        raise UsageError(f"{path}: is a link; expected a file: remove it, or choose another output")
    descriptor = open_bytes(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o644)
    state = os.fstat(descriptor)
    wrong = "is no regular file" if not stat.S_ISREG(state.st_mode) else ""
    wrong = wrong or ("has a second name elsewhere" if state.st_nlink > 1 else "")
    wrong = wrong or (f"is {state.st_size / 2**20:.0f} MB large" if state.st_size > _MOST_BYTES else "")
    if wrong:
        os.close(descriptor)
        raise UsageError(f"{path}: {wrong}; expected a journal: remove it, or choose another output")
    return os.fdopen(descriptor, "rb+", buffering=0) if flags & os.O_RDWR else os.fdopen(descriptor, "rb")


def _mend(file: IO[bytes]) -> None:
    """End a line that a power cut tore, so that it does not swallow the next."""
    with contextlib.suppress(OSError):  # an empty file has no last byte
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
