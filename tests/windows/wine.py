"""Wine: found or installed, and a prefix of its own, in which there are Windows' programs alone."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PACKAGES = ("wine64", "wine")
"""Of Debian and what descends from it; without those that they recommend, which are of graphics."""
_PLACES = ("/usr/lib/wine", "/opt/wine-stable/bin")
"""Beside PATH. Debian's `wine` on PATH is a script that asks for the Wine of 32 bits as well."""
# No debugger and no .NET or HTML, which Wine offers to download; and Windows' own C++ library before Wine's.
_RUNTIME = "msvcp140,msvcp140_1,msvcp140_2,concrt140,vcomp140,vcruntime140,vcruntime140_1"
_OVERRIDES = f"mscoree,mshtml,winedbg.exe=;ucrtbase,{_RUNTIME}=n,b;bcryptprimitives=n,b"


class NoWineError(Exception):
    """Why there is none, in words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wine:
    """A Wine, and a folder in which it keeps a Windows.

    Args:
        loader: the program that runs Windows' programs.
        server: the one that all of these talk to.
        prefix: the folder.
    """

    loader: Path
    server: Path
    prefix: Path

    @property
    def drive(self) -> Path:
        """C: of this Windows."""
        return self.prefix / "drive_c"

    @property
    def version(self) -> str:
        """As "wine-8.0"."""
        return subprocess.run([self.loader, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def environment(self) -> dict[str, str]:
        """Of its programs: nothing of Python's on this side, and no screen."""
        foreign = ("PYTHON", "PYTEST", "VIRTUAL_ENV", "DISPLAY", "XDG_", "COVERAGE", "WINE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {
            **kept, "WINEPREFIX": str(self.prefix), "WINEARCH": "win64", "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": _OVERRIDES, "KMP_AFFINITY": "disabled",
        }  # fmt: skip

    def lines(
        self, words: Sequence[str], *, folder: Path | None = None, environment: dict[str, str] | None = None
    ) -> Iterator[str]:
        """Run a program, and yield what it prints as it prints it.

        Its streams are pipes: under Wine 8 a file or /dev/null in their place is a bad handle.

        Args:
            words: of the command; the program as Windows names it.
            folder: it runs in.
            environment: variables beside those of `environment`.

        Raises:
            subprocess.CalledProcessError: it ended with another code than 0.
        """
        with subprocess.Popen(
            [self.loader, *words], cwd=folder, env=self.environment() | (environment or {}), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                yield from process.stdout
            except BaseException:
                self.stop()
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(words))

    def run(self, *words: str) -> str:
        """Run a program to its end; returns what it printed. Raises as `lines` does."""
        return "".join(self.lines(words))

    def stop(self) -> None:
        """End every program of this prefix."""
        subprocess.run([self.server, "-k"], env=self.environment(), capture_output=True, check=False)

    def boot(self) -> None:
        """Make the prefix anew, as Windows 10; raises as `lines` does."""
        if self.prefix.exists():
            self.stop()
            shutil.rmtree(self.prefix)
        self.prefix.mkdir(parents=True)
        self.run("wineboot", "--init")
        self.run("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
        subprocess.run([self.server, "-w"], env=self.environment(), capture_output=True, check=True)
        # Else the root of this system would be a drive, and /proc and /dev were found from any folder of it.
        (self.prefix / "dosdevices" / "z:").unlink(missing_ok=True)


def find_wine(prefix: Path) -> Wine:
    """The Wine of this machine, installed if there is none and it can be.

    Args:
        prefix: the folder that it is to keep its Windows in.

    Raises:
        NoWineError: there is none, with what to install.
    """
    found = _programs()
    if found is None:
        _install()
        found = _programs()
    if found is None:
        raise NoWineError("there is no Wine for 64 bits: install the packages wine64 and wine, or those of WineHQ")
    return Wine(loader=found[0], server=found[1], prefix=prefix)


def _programs() -> tuple[Path, Path] | None:
    path = os.pathsep.join((*_PLACES, os.environ.get("PATH", os.defpath)))
    found = [next(filter(None, (shutil.which(name, path=path) for name in names)), None)
             for names in (("wine64", "wine"), ("wineserver64", "wineserver"))]  # fmt: skip
    return (Path(found[0]), Path(found[1])) if found[0] and found[1] else None


def _install() -> None:
    if not shutil.which("apt-get"):
        raise NoWineError("there is no Wine, and no apt-get to install it: install Wine 8 or newer, for 64 bits")
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *_PACKAGES]
    if os.geteuid() != 0:
        raise NoWineError(f"there is no Wine, and only the superuser may install it: sudo {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["apt-get", "update", "--quiet"], command):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoWineError(
                f"there is no Wine, and `{' '.join(words)}` failed: {done.stderr.strip().splitlines()[-1:]}"
            )
