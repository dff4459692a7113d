"""How much memory Linux lets a process have: of the machine, by its own limit, and by its control groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_NO_LIMIT = 2**60
"""What version 1 of cgroups gives for none is near 2**63."""


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping; None where the system does not say.

    It is the least of what the machine has, what this process may still take (`ulimit -v`), and what each control
    group (cgroup) that it is in may, as in a container. Files that the system keeps in memory, and can drop, count as
    free.

    Args:
        root: of the file system; another one in tests.
    """
    counts = [*_of_machine(root), *_of_process(root), *_of_groups(root)]
    return max(min(counts), 0) if counts else None


def memory_limits(root: Path = Path("/")) -> dict[str, int]:
    """Bytes that this process may have at most, by what says so: ulimit -v, cgroup; without what says nothing."""
    found = {"ulimit -v": _own_limit(root)}
    found["cgroup"] = min((most for group, names in _groups(root) if (most := _limit(group, names[0]))), default=None)
    return {name: most for name, most in found.items() if most is not None}


def _of_machine(root: Path) -> Iterator[int]:
    for line in lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_process(root: Path) -> Iterator[int]:
    """What `ulimit -v` leaves."""
    most, status = _own_limit(root), lines(root / "proc/self/status")
    taken = next((line.split()[1] for line in status if line.startswith("VmSize:")), "")
    if most is not None and taken.isdigit():
        yield most - int(taken) * 1024


def _own_limit(root: Path) -> int | None:
    limits = lines(root / "proc/self/limits")
    most = next((line.split()[3] for line in limits if line.startswith("Max address space")), "")
    return int(most) if most.isdigit() else None  # "unlimited" is no limit


def _of_groups(root: Path) -> Iterator[int]:
    for group, names in _groups(root):
        yield from _left(group, *names)


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Each control group that this process is in, and what its limit, its usage and what can be dropped are called.

    See Linux's documents: admin-guide/cgroup-v2, "memory.max"; cgroup-v1/memory, "memory.limit_in_bytes".
    """
    for line in lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            place, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            place = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = place / path.lstrip("/")
        # A container may see its own group as the root, whatever path it is told.
        for folder in dict.fromkeys([group, *group.parents, place]):
            if folder.is_relative_to(place):
                yield folder, names


def _left(group: Path, limit: str, usage: str, droppable: str) -> Iterator[int]:
    most, used = _limit(group, limit), _number(group / usage)
    if most is None or used is None:
        return
    fields = dict(line.split(" ", 1) for line in lines(group / "memory.stat") if " " in line)
    yield most - used + int(fields.get(droppable, 0))


def _limit(group: Path, name: str) -> int | None:
    most = _number(group / name)
    return None if most is None or most >= _NO_LIMIT else most


def _number(path: Path) -> int | None:
    (text, *_) = [*lines(path), ""]
    return int(text) if text.isdigit() else None  # "max" is no limit


def lines(path: Path) -> list[str]:
    """Of a text file of the kernel's; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return []
