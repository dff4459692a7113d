"""Wheels for Windows: which ones are needed, downloaded with pip, and unpacked as pip does it on Windows."""

from __future__ import annotations

import email
import io
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tests.windows.python import HOME, VERSION, pip

_HERE = {
    "implementation_name": "cpython", "os_name": "nt", "platform_machine": "AMD64", "platform_system": "Windows",
    "platform_python_implementation": "CPython", "python_full_version": VERSION, "sys_platform": "win32",
    "python_version": VERSION.rpartition(".")[0],
}  # fmt: skip
"""What requirements may ask of the machine. pip answers for the machine that it runs on."""
_TARGET = ("--platform", "win_amd64", "--python-version", VERSION, "--implementation", "cp", "--only-binary=:all:")
_SOURCE_ALONE = ("pyvips",)
"""Have no wheel, and no code to compile."""


class Wheels:
    """A folder of them.

    Args:
        folder: it, made where it is missing.
        constraints: the file of versions, for pip.
    """

    def __init__(self, folder: Path, constraints: Path) -> None:
        self._folder, self._constraints = folder, constraints
        folder.mkdir(parents=True, exist_ok=True)

    def bring(self, wanted: Iterable[Requirement], have: Iterable[Path] = ()) -> list[Path]:
        """What is wanted and what that needs, as wheels.

        Args:
            wanted: requirements.
            have: wheels that are there, and are not asked for.

        Raises:
            subprocess.CalledProcessError: pip cannot bring one.
            ValueError: two requirements of one library are not met by one version.
        """
        found = {name_of(path): path for path in have}
        seen: set[tuple[str, str]] = set()
        level = list(wanted)
        while level:
            missing = {canonicalize_name(each.name): each for each in level}
            found |= self._download([each for name, each in missing.items() if name not in found])
            deeper = []
            for each in level:
                wheel = found[canonicalize_name(each.name)]
                version = parse_wheel_filename(wheel.name)[1]
                if not each.specifier.contains(version, prereleases=True):
                    raise ValueError(f"{wheel.name} is there, and {each} is asked for")
                # What every use of a library needs, and what each of its extras does.
                for extra in ("", *each.extras):
                    if (key := (name_of(wheel), extra)) not in seen:
                        seen.add(key)
                        deeper += needs(wheel, extra)
            level = deeper
        return list(found.values())

    def _download(self, wanted: list[Requirement]) -> dict[str, Path]:
        have = {name_of(path): path for path in self._folder.glob("*.whl")}
        missing = [each for each in wanted if canonicalize_name(each.name) not in have]
        source = [str(each) for each in missing if each.name in _SOURCE_ALONE]
        binary = [_plain(each) for each in missing if each.name not in _SOURCE_ALONE]
        common = ("--no-deps", "--constraint", str(self._constraints))
        if binary:
            pip("download", *common, *_TARGET, "--dest", str(self._folder), *binary)
        if source:
            pip("wheel", *common, "--wheel-dir", str(self._folder), *source)
        have = {name_of(path): path for path in self._folder.glob("*.whl")}
        return {name: have[name] for name in (canonicalize_name(each.name) for each in wanted)}


def _plain(requirement: Requirement) -> str:
    """Without its marker, which pip would read for the machine that it runs on."""
    return f"{requirement.name}{requirement.specifier}"


def name_of(wheel: Path) -> str:
    """Of the library in a wheel."""
    return parse_wheel_filename(wheel.name)[0]


def needs(wheel: Path, extra: str = "") -> Iterator[Requirement]:
    """What a wheel asks for on Windows, with one of its extras or, by "", with none."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        fields = email.message_from_bytes(packed.read(name))
    for line in fields.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker is None:
            if not extra:
                yield requirement
        elif requirement.marker.evaluate({**_HERE, "extra": extra}):
            yield requirement


def lay(wheels: Iterable[Path], home: Path, launcher: bytes) -> None:
    """Unpack wheels.

    Args:
        wheels: files.
        home: the folder of Windows' Python.
        launcher: the program that starts a command, before what it starts is appended.
    """
    site = home / "Lib" / "site-packages"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
            commands = [packed.read(name) for name in packed.namelist() if name.endswith(".dist-info/entry_points.txt")]
        for data in site.glob("*.data"):
            for kind, target in (("purelib", site), ("platlib", site), ("data", home)):
                if (data / kind).is_dir():
                    shutil.copytree(data / kind, target, dirs_exist_ok=True)
            shutil.rmtree(data)
        for text in commands:
            for name, started in _commands(text.decode()):
                (home / f"{name}.exe").write_bytes(launcher + started)
    # The C++ library, which `msvc-runtime` lays beside commands, is found beside the program.
    for library in (home / "Scripts").glob("*.dll"):
        shutil.copy(library, home)


def _commands(entry_points: str) -> Iterator[tuple[str, bytes]]:
    """Names, and what is appended to the launcher."""
    section = entry_points.partition("[console_scripts]")[2].partition("\n[")[0]
    for line in filter(None, map(str.strip, section.splitlines())):
        name, _, target = (part.strip() for part in line.partition("="))
        module, _, function = target.partition("[")[0].strip().partition(":")
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr(
                "__main__.py",
                f"import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n"
                f"    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit({function}())\n",
            )
        yield name, f"#!{HOME}/python.exe\r\n".encode() + stream.getvalue()
