"""An environment with the project and what it always needs, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.import_graph import ROOT

PROJECT = "nafnet-toolchain"


def bare_environment(folder: Path) -> Path:
    """Lay a virtual environment out, of links to what is installed here; returns its Python."""
    venv = pytest.importorskip("venv", reason="this Python makes no environments")
    venv.create(folder, symlinks=True)
    (python,) = (path for path in (folder / "bin" / "python", folder / "Scripts" / "python.exe") if path.exists())
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    for name in sorted(_needed()):
        distribution = _installed(name)
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return python


def _needed() -> set[str]:
    """The distributions that `pip install` without any extra brings."""
    found, waiting = set(), [Requirement(PROJECT)]
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            key = f"{wanted.name.lower()}[{extra}]"
            if key not in found:
                found.add(key)
                lines = map(Requirement, _installed(wanted.name).requires or ())
                waiting += [line for line in lines if _holds(line, extra)]
    return {key.partition("[")[0] for key in found}


def _installed(name: str) -> Distribution:
    """Not the sources, which lie in the current folder and look like an installation."""
    path = [place for place in sys.path if Path(place).resolve() != ROOT]
    return next(iter(Distribution.discover(name=name, path=path)))


def _holds(line: Requirement, extra: str) -> bool:
    if line.marker is None:
        return not extra
    return line.marker.evaluate({"extra": extra}) and (not extra or "extra" in str(line.marker))
