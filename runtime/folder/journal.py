"""The journal of a folder: what was restored from which bytes, with which model and settings.

One file for each shard, `.nafnet-run/1-of-1.jsonl` in the output folder, a line for each thing that happened. A second
run does what is left: also after a kill, a full disk, a changed model or setting. Shards write their own files and
read all, so they need no coordination.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Self

from nafnet.errors import OutputError, UsageError
from nafnet.files import PARTIAL_SUFFIX, lock
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.job import Job

FOLDER = ".nafnet-run"
_OWNED = re.compile(rf"\.([\w-]+)-[0-9a-f]{{8}}(?:\.raw)?{re.escape(PARTIAL_SUFFIX)}$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """A part of the inputs: those whose content hash falls to it, whatever else lies beside them."""

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

    def has(self, digest: str) -> bool:
        """Whether a file of this SHA-256 is its."""
        return int(digest[:16], 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"


def settings_key(settings: dict[str, Any]) -> str:
    """A short name of everything that decides a result's bytes."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


class Journal:
    """Reads and writes the journal of an output folder, between `open` and `close`.

    Args:
        folder: the output folder.
        key: see `settings_key`.
        shard: which inputs are this run's.
        name: of the journal's file; None is the shard's.
        ignore: start again: what was recorded counts for nothing.
        since: with `ignore`, what was recorded later than this counts all the same, in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        shard: Shard,
        *,
        name: str | None = None,
        ignore: bool = False,
        since: float | None = None,
    ) -> None:
        self.folder, self.shard, self.key, self.ignore = folder, shard, key, ignore
        self._name = name or str(shard)
        self._since = since
        self._done: dict[str, dict[str, Any]] = {}
        self._compared: dict[str, str] = {}
        """Of each output, the comparison that was written with it."""
        self._ours: set[str] = set()
        self._file: IO[bytes] | None = None

    @property
    def tag(self) -> str:
        """Goes into the names of this run's temporary files."""
        return f"{self._name}-"

    def open(self, folders: Iterable[Path]) -> None:
        """Lock and read; temporary files in `folders` whose run is no more are removed.

        Raises:
            UsageError: another run is writing into the folder, or the journal cannot be made.
        """
        place = self.folder / FOLDER
        try:
            place.mkdir(exist_ok=True)
            self._file = (place / f"{self._name}.jsonl").open("ab", buffering=0)
        except OSError as error:
            raise UsageError(
                f"{place}: cannot be written ({error.strerror or error}); choose another output"
            ) from error
        if not lock(self._file):
            raise UsageError(f"{self.folder}: another run is writing here as {self._name}; wait for it, or use --shard")
        stale = {self._name}
        for path in sorted(place.glob("*.jsonl")):
            if path.stem != self._name and _is_free(path):
                stale.add(path.stem)
        self.reread()
        for folder in folders:
            for leftover in folder.glob(f".*{PARTIAL_SUFFIX}"):
                found = _OWNED.search(leftover.name)
                if found and found[1] in stale:
                    leftover.unlink(missing_ok=True)

    def reread(self) -> None:
        """Take in what others have written by now."""
        for path in sorted((self.folder / FOLDER).glob("*.jsonl")):
            self._read(path)

    def is_done(self, job: Job, digest: str) -> bool:
        """Whether the job's output stands as an earlier run wrote it, from these bytes with these settings."""
        entry = self._done.get(self._of(job))
        if entry is None or entry["sha256"] != digest or entry["key"] != self.key:
            return False
        if self.ignore and (self._since is None or entry["time"] < self._since):
            return False
        with contextlib.suppress(OSError):
            state = job.target.stat()
            return (state.st_size, state.st_mtime_ns) == (entry["bytes"], entry["mtime_ns"])
        return False

    def refused(self, job: Job) -> Path | None:
        """What may not be replaced, the output or its comparison: it is there, and not ours; None where all may be.

        Nothing is refused where the run was told to start again.
        """
        if self.ignore:
            return None
        paths = (job.target, job.compare) if job.compare else (job.target,)
        return next((path for path in paths if os.path.lexists(path) and self._name_of(path) not in self._ours), None)

    def is_compared(self, job: Job) -> bool:
        """Whether the comparison that is asked for stands, if one is."""
        if job.compare is None:
            return True
        return self._compared.get(self._of(job)) == self._name_of(job.compare) and job.compare.exists()

    def started(self, job: Job) -> None:
        """Record that the output and its comparison are about to be written: what a kill leaves there is ours."""
        self._append({"event": "started", "output": self._of(job), **self._comparison_of(job)})

    def compared(self, job: Job) -> None:
        """Record the comparison of an output that was there before."""
        self._append({"event": "compared", "output": self._of(job), **self._comparison_of(job)})

    def restored(self, item: FileItem) -> None:
        """Record a finished file."""
        job, row = item.job, item.row
        try:
            state = job.target.stat()
        except OSError as error:
            raise OutputError(f"{job.target}: gone while it was written ({error.strerror})") from error
        entry = {
            "event": "restored", "output": self._of(job), "input": str(job.source), "sha256": item.digest,
            "key": self.key, "bytes": state.st_size, "mtime_ns": state.st_mtime_ns,
            "width": row.width, "height": row.height, "tiles": item.tiles, "flagged": item.recomputed,
            "time": round(time.time(), 3), **self._comparison_of(job),
        }  # fmt: skip
        self._append(entry)

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._file is not None
        self._note(entry)
        try:
            # One write to a file opened for appending: a kill leaves a whole line, or a torn one that is passed over.
            self._file.write(json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise OutputError(
                f"{self._file.name}: cannot be written ({error.strerror or error}); mend it and run the same again"
            ) from error

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    self._note(json.loads(line))

    def _note(self, entry: dict[str, Any]) -> None:
        self._ours.add(entry["output"])
        if "comparison" in entry:
            self._ours.add(entry["comparison"])
        if entry["event"] in ("restored", "compared"):
            self._compared[entry["output"]] = entry.get("comparison", "")
        if entry["event"] == "restored":
            self._done[entry["output"]] = {name: entry[name] for name in ("sha256", "key", "bytes", "mtime_ns", "time")}

    def _of(self, job: Job) -> str:
        return self._name_of(job.target)

    def _name_of(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)

    def _comparison_of(self, job: Job) -> dict[str, str]:
        return {"comparison": self._name_of(job.compare)} if job.compare else {}

    def close(self) -> None:
        """Flush to the disk and unlock."""
        if self._file:
            with contextlib.suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()


def _is_free(path: Path) -> bool:
    with path.open("rb") as file:
        return lock(file)
