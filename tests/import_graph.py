"""The project's imports as a graph, read from the syntax trees: ``python tests/import_graph.py`` prints it.

An arrow is any import of a module of ours, wherever it stands: at the top, in a function, under `TYPE_CHECKING`, or as
a module's whole name in a string, as a registry has it. Nothing is imported to find out.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STAGES = {"nafnet": "nafnet", "train": "nafnet.train", "export": "nafnet.export"}
STAGES |= {"runtime": "nafnet.runtime", "benchmarks": "nafnet.benchmarks"}
"""Folder to import name."""

# What stands on which floor of its stage, from top to bottom; a wing is a folder, or a module beside the folders.
# A module may import its own wing and the floors below it.
FLOORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "nafnet": (
        ("pretrained", "page"),
        ("checkpoint", "onnxfile", "planfile", "kept_tile"),
        ("difference",),
        ("architecture", "statedict", "wire", "tiling", "metrics", "filekind", "onnxgraph"),
        ("spec", "images"),
        ("commandline", "files", "closing", "allocator", "fieldtypes", "steps", "parity", "enginelog"),
        ("interpreter", "progress", "sessions"),
        ("system",),
        ("errors", "words"),
    ),
    "nafnet.train": (("cli",), ("command",), ("run",), ("data",), ("recipes",), ("synthetic", "processes")),
    "nafnet.export": (
        ("cli",), ("command",), ("exporter", "inspection"), ("formats",), ("engines",), ("attempts",), ("gate",),
        ("network",),
    ),
    "nafnet.runtime": (
        ("", "cli"), ("command", "doctor"), ("beside",), ("options",), ("folder",), ("engine", "paths"), ("backends",),
    ),
    "nafnet.benchmarks": (
        ("gpu_day",), ("studies", "cli"), ("command",), ("bench",), ("group",), ("loading", "estimate"), ("verdict",),
        ("report",), ("measure", "profiles"), ("rows",),
        ("pictures", "watched"), ("machine", "photographs", "results_file", "timing"), ("gpu", "profile_result"),
    ),
}  # fmt: skip

# Which stages a stage may import.
STAGE_ARROWS = {
    "nafnet": (),
    "nafnet.train": ("nafnet",),
    "nafnet.export": ("nafnet",),
    "nafnet.runtime": ("nafnet",),
    "nafnet.benchmarks": ("nafnet", "nafnet.train", "nafnet.export", "nafnet.runtime"),
}

EXCEPTIONS = {
    ("nafnet.runtime.engine.model_source", "nafnet.export.exporter"): "a checkpoint is exported once, when it is met",
    ("nafnet.runtime.backends.torch_cuda", "nafnet.export.network.rewrites"): "it runs the network that is exported",
}
"""(from, to): why this arrow may point where it points."""

OF_ONE_SYSTEM = ("nafnet.system.windows", "nafnet.system.windows_job", "nafnet.system.windows_lock")
"""Modules that cannot be imported on this one."""
if sys.platform == "win32":
    OF_ONE_SYSTEM = ("nafnet.system.posix", "nafnet.system.linux", "nafnet.system.macos")
_MODULES_OF_ONE = {"fcntl", "resource", "msvcrt", "winreg", "platform", "pwd", "grp", "termios", "_winapi"}
_NAMES_OF_ONE = {
    "sys": {"platform", "getwindowsversion"}, "ctypes": {"windll", "WinDLL", "WinError"},
    "os": {
        "name", "uname", "getppid", "fork", "register_at_fork", "getloadavg", "getuid", "geteuid", "killpg", "fsync",
        "sched_getaffinity", "sched_setaffinity", "add_dll_directory", "mkfifo", "setsid", "nice", "statvfs", "sysconf",
    },
}  # fmt: skip


def of_one_system(path: Path) -> set[str]:
    """What a file names that not every operating system has, or that asks which it is."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & _MODULES_OF_ONE
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} & _MODULES_OF_ONE
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in _NAMES_OF_ONE.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value} if node.value.startswith(("/proc", "/sys/", "/dev/")) else set()
    return found


def modules() -> dict[str, Path]:
    """Every module of the project: import name to file."""
    found = {}
    for folder, package in STAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


def import_graph() -> dict[str, set[str]]:
    """Each module with the modules of ours that it names."""
    known = modules()
    return {name: named_in(path, known) - {name} for name, path in known.items()}


def named_in(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules among `known` that a file names."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            assert node.module
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and node.value in known:
            named.add(str(node.value))
    return {module for name in named if (module := _module_of(name, known))}


def _module_of(name: str, known: dict[str, Path]) -> str | None:
    """The module that a dotted name is, or is defined in; None if it is none of ours."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that lead from one to the next and back to the first; empty where there is no such circle."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def place(module: str) -> tuple[str, str]:
    """(stage, wing) of a module; the wing of a stage's own package is empty."""
    stage = max((name for name in FLOORS if (module + ".").startswith(name + ".")), key=len)
    return stage, module.removeprefix(stage).removeprefix(".").partition(".")[0]


def undeclared(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Wings that hold modules and stand on no floor; a package's own file, if it imports nothing, needs none."""
    declared = {(stage, wing) for stage, floors in FLOORS.items() for floor in floors for wing in floor}
    return {place(name) for name in graph if place(name)[1] or graph[name]} - declared


def wrong_arrows(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Imports that point up, or sideways to another wing, or to a stage that this one may not know."""
    heights = {
        (stage, wing): height
        for stage, floors in FLOORS.items()
        for height, floor in enumerate(floors)
        for wing in floor
    }
    wrong = []
    for name, targets in graph.items():
        for target in sorted(targets):
            (stage, wing), (other_stage, other_wing) = place(name), place(target)
            if stage != other_stage:
                allowed = other_stage in STAGE_ARROWS[stage]
            else:
                here, there = heights.get((stage, wing), -1), heights.get((stage, other_wing), -1)
                allowed = wing == other_wing or here < there
            if not allowed:
                wrong.append((name, target))
    return wrong


def main() -> None:
    """Print each stage's floors, and what is wrong."""
    graph = import_graph()
    for stage, floors in FLOORS.items():
        own = [name for name in graph if place(name)[0] == stage]
        arrows = sum(len(graph[name]) for name in own)
        print(f"{stage}: {len(own)} modules, {arrows} arrows")
        for floor in floors:
            counts = [(wing or "(itself)", sum(place(name) == (stage, wing) for name in own)) for wing in floor]
            print("    " + ", ".join(f"{wing} {count}" for wing, count in counts))
    wrong = wrong_arrows(graph)
    print(f"circles: {' -> '.join(circle(graph)) or 0}")
    print(f"arrows that point up: {len([arrow for arrow in wrong if arrow not in EXCEPTIONS])}")
    for arrow, reason in EXCEPTIONS.items():
        print(f"    but {arrow[0]} -> {arrow[1]}: {reason}")
    print(f"wings that are not declared: {len(undeclared(graph))}")


if __name__ == "__main__":
    main()
