"""File systems for which names that differ are one: in case, or in how an accent is composed (exFAT, NTFS, APFS)."""

from __future__ import annotations

import itertools
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.files import PARTIAL_SUFFIX
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.outputs import Outputs
from nafnet.runtime.paths.real_paths import folded


def refuse_folding(outputs: Outputs, jobs: Sequence[Job]) -> None:
    """Refuse names that differ for us and are one to the file system; asked once the folders are there.

    Raises:
        UsageError: two results, or two comparisons, would be one file.
    """
    named = [(outputs.folder, [(job.target, job) for job in jobs if job.target != outputs.folder])]
    named[0][1].extend((job.sheet, job) for job in jobs if job.sheet)
    named.append((outputs.compare, [(job.compare, job) for job in jobs if job.compare]))
    for root, paths in named:
        alike = defaultdict(list)
        for path, job in paths:
            if root is not None:
                alike[folded(str(path))].append((path.relative_to(root), job))
        for group in alike.values():
            for (first, other), (name, job) in itertools.combinations(group, 2):
                if root is not None and are_one_file(root, first, name):
                    raise UsageError(
                        f"{other.source} and {job.source}: the file system of {root} takes their results "
                        f"{first} and {name} for one file; rename one, or choose another output"
                    )


def are_one_file(folder: Path, first: Path, second: Path) -> bool:
    """Whether the file system of a folder takes two relative paths for one, found out by trying."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=PARTIAL_SUFFIX) as place:
        made = Path(place, first)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
        return Path(place, second).exists()
