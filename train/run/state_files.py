"""What a run needs to go on, on the disk: the newest state and the one before it, and every N-th for good."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from nafnet.errors import CheckpointError, OutputError
from nafnet.files import whole_file
from nafnet.words import counted

State = dict[str, Any]
_NAME = re.compile(r"state-(\d+)\.pt")
_KEPT = 2  # the newest, and one to fall back on


class StateFiles:
    """The states of one run.

    Args:
        folder: theirs alone.
        keep_every: steps from one that is kept for good to the next; 0: none is.
    """

    def __init__(self, folder: Path, keep_every: int = 0) -> None:
        self.folder = folder
        self.keep_every = keep_every
        self._damaged: list[int] = []

    def steps(self) -> list[int]:
        """The steps of which there is a state, newest first."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("state-*.pt"))
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def save(self, step: int, state: State) -> None:
        """Write a state, whole or not at all, and then remove those that nobody needs.

        Raises:
            OutputError: the disk takes no more; the states before it are as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(step)
        try:
            with whole_file(path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where a write fails
            raise self.refused(path, error) from error
        # A damaged one is no fallback: were it counted as one, the good one before it would go.
        for damaged in self._damaged:
            if damaged != step:
                self._path(damaged).unlink(missing_ok=True)
        self._damaged = []
        for old in self.steps()[_KEPT:]:
            if not self.keep_every or old % self.keep_every:
                self._path(old).unlink()

    def refused(self, path: Path, error: OSError | RuntimeError) -> OutputError:
        """The error for a file that cannot be written, with what there is to go on from."""
        path = getattr(error, "filename", None) or path
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        newest = self.steps()[:1]
        have = f"the state of step {newest[0]} is whole" if newest else "there is no state yet"
        return OutputError(f"{path}: cannot be written ({reason}); {have}; make room and start again")

    def load(self) -> tuple[State | None, list[str]]:
        """The newest state that can be read, and a line for each newer one that is damaged.

        Raises:
            CheckpointError: there are states, and all are damaged.
            OSError: one cannot be read for a reason that is not its own.
        """
        damaged = []
        for step in self.steps():
            try:
                state: State = torch.load(self._path(step), map_location="cpu", weights_only=True)
            except (OSError, MemoryError):
                raise
            except Exception as error:  # torch raises many kinds for a damaged file
                reason = (str(error) or type(error).__name__).splitlines()[0]
                self._damaged.append(step)
                damaged.append(f"{self._path(step)}: damaged ({reason}); going on from the one before")
            else:
                return state, damaged
        if damaged:
            states = counted(len(damaged), "state")
            raise CheckpointError(f"{self.folder}: none of {states} can be read; remove it to start anew")
        return None, []

    def _path(self, step: int) -> Path:
        return self.folder / f"state-{step:08}.pt"
