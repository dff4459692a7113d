"""The project as this tree has it: its files copied, and its wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files() -> dict[str, bytes]:
    """Each file of the tree that git does not ignore, by its path with slashes."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    names = sorted(set(filter(None, listed.split("\0"))))
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def digest(content: dict[str, bytes]) -> str:
    """Of all of these."""
    total = hashlib.sha256()
    for name, held in content.items():
        total.update(f"{name}\0{len(held)}\0".encode() + held)
    return total.hexdigest()


def lay(content: dict[str, bytes], folder: Path) -> None:
    """Write them, and nothing else, into a folder."""
    if folder.exists():
        shutil.rmtree(folder)
    for name, held in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(held)


def build(content: dict[str, bytes], folder: Path) -> Path:
    """The wheel, in a folder that holds no other; raises `subprocess.CalledProcessError`."""
    lay(content, folder / "source")
    words = ["wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", str(folder / "wheel")]
    shutil.rmtree(folder / "wheel", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "pip", *words, str(folder / "source")], check=True, capture_output=True)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel
