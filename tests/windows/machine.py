"""A Windows with Python, the project's libraries and the project: made once, and brought up to date afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.resources
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from tests.windows import libraries, project, python, shims
from tests.windows.reference import make_reference
from tests.windows.wine import Wine, find_wine

FOLDER = project.ROOT / ".venv-windows"
EXTRAS = ("cpu", "formats")
"""Of the project."""
_TESTS = ("pytest", "tifffile", "scikit-image", "filelock", "imagecodecs", "pillow-heif")
_CPP = "msvc-runtime"
"""Microsoft's C++ library, which most Windows machines have, and PyTorch needs; Wine's own is another."""
_TORCH = ("export", "train")
"""The extras with PyTorch."""
_TOOLS = ("pefile", "distlib")
"""On this side: a reader of libraries, and the program that starts a command."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """It.

    Args:
        wine: with the prefix.
        folder: of all that belongs to it.
        torch: whether PyTorch is there.
        said: is told what is being done.
    """

    wine: Wine
    folder: Path
    torch: bool
    said: Callable[[str], None]

    @property
    def tree(self) -> Path:
        """Where the tests are, with what they read."""
        return self.wine.drive / "project"

    @property
    def reference(self) -> Path:
        """Results of this side."""
        return self.wine.drive / "reference"

    def bring_up_to_date(self) -> None:
        """Make what is missing or old; raises `subprocess.CalledProcessError` and what `Wheels.bring` raises."""
        content = project.files()
        own = {Path(name).stem: held for name, held in content.items() if name.startswith("tests/windows/")}
        base = project.digest({name: own[name] for name in ("wine", "python", "shims")})
        self._unless("windows", f"{self.wine.version} {base}", self._make_windows)
        declared = {name: content[name] for name in ("constraints.txt", "pyproject.toml")}
        declared |= {name: own[name] for name in ("libraries", "machine", "wine_lacks")}
        self._unless("libraries", f"{project.digest(declared)} {self.torch}", lambda: self._lay_libraries(content))
        self._unless("project", project.digest(content), lambda: self._lay_project(content))

    def _unless(self, name: str, key: str, make: Callable[[], None]) -> None:
        """Call `make` where it was not for this key, and forget what was made upon it."""
        stamp = self.folder / f"{name}.stamp"
        key = hashlib.sha256(key.encode()).hexdigest()
        if stamp.exists() and stamp.read_text(encoding="ascii") == key:
            return
        for later in _STEPS[_STEPS.index(name) :]:
            (self.folder / f"{later}.stamp").unlink(missing_ok=True)
        make()
        stamp.write_text(key, encoding="ascii")

    def _make_windows(self) -> None:
        self.said(f"A Windows is made with {self.wine.version}")
        self.wine.boot()
        self.said(f"Python {python.VERSION} for Windows is laid into it")
        home = python.lay_python(self.wine.drive)
        python.pip("install", "--upgrade", "--target", str(self.folder / "tools"), *_TOOLS)
        system = self.wine.drive / "windows" / "system32"
        shims.complete(system / "ucrtbase.dll", home, self._tool("pefile"))
        if not (system / "bcryptprimitives.dll").exists():
            library = shims.forwarder("bcryptprimitives.dll", {"ProcessPrng": "advapi32.SystemFunction036"})
            (home / "bcryptprimitives.dll").write_bytes(library)

    def _lay_libraries(self, content: dict[str, bytes]) -> None:
        self.said("Libraries for Windows are downloaded and unpacked")
        site = python.libraries_of(self.wine.drive)
        shutil.rmtree(site)
        site.mkdir()
        wheel = project.build(content, self.folder)
        extras = ",".join((*EXTRAS, *(_TORCH if self.torch else ())))
        wanted = [Requirement(f"nafnet-toolchain[{extras}]"), *map(Requirement, (*_TESTS, _CPP))]
        wheels = libraries.Wheels(self.folder / "wheels", project.ROOT / "constraints.txt").bring(wanted, have=[wheel])
        libraries.lay([each for each in wheels if each != wheel], site.parents[1], self._launcher())
        # Of a name of its own: tests bring a sitecustomize.
        shutil.copy(Path(__file__).with_name("wine_lacks.py"), site)
        (site / "wine_lacks.pth").write_text("import wine_lacks\n", encoding="ascii")

    def _lay_project(self, content: dict[str, bytes]) -> None:
        self.said("The project is built and laid")
        site = python.libraries_of(self.wine.drive)
        for old in (site / "nafnet", *site.glob("nafnet_toolchain-*")):
            shutil.rmtree(old, ignore_errors=True)
        wheel = project.build(content, self.folder)
        libraries.lay([wheel], site.parents[1], self._launcher())
        # The sources of the project are not among them, else they were imported in the place of the wheel.
        beside = ("tests/", "docs/", "examples/")
        files = {name: held for name, held in content.items() if name.startswith(beside) or "/" not in name}
        project.lay(files, self.tree)
        self.said("Three pictures are restored on this side, to be compared with")
        shutil.rmtree(self.reference, ignore_errors=True)
        make_reference(self.reference)

    def _launcher(self) -> bytes:
        self._tool("distlib")
        return importlib.resources.files("distlib").joinpath("t64.exe").read_bytes()

    def _tool(self, name: str) -> object:
        place = str(self.folder / "tools")
        if place not in sys.path:
            sys.path.append(place)
        return importlib.import_module(name)


_STEPS = ("windows", "libraries", "project")


def machine(*, torch: bool, said: Callable[[str], None], folder: Path = FOLDER) -> Machine:
    """The one of this tree, up to date.

    Args:
        torch: with PyTorch.
        said: is told what is being done.
        folder: of all that belongs to it.

    Raises:
        NoWineError: there is no Wine.
        subprocess.CalledProcessError: a step failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Machine(wine=find_wine(folder / "prefix"), folder=folder, torch=torch, said=said)
    made.bring_up_to_date()
    return made
