"""ONNX Runtime Web's files: the ones that are meant to the byte, or a line that says what to do."""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from nafnet.errors import UsageError
from nafnet.export.web import library as module
from nafnet.export.web.library import FILES, PACKAGE, Library, library, npm

NPM = """
import argparse, shutil
npm = argparse.ArgumentParser()
npm.add_argument("package")
npm.add_argument("command", choices=["pack"])
npm.add_argument("wanted", choices=["onnxruntime-web@1.30.0"])
npm.add_argument("--pack-destination", required=True)
npm.add_argument("--silent", action="store_true")
npm.add_argument("--ignore-scripts", action="store_true")
given = npm.parse_args()
shutil.copy(given.package, given.pack_destination)
"""
"""npm, of which it knows one command and one package: it refuses all other words."""


def packed(path: Path, files: Library) -> Path:
    """As npm packs them, with a file that is not taken."""
    with tarfile.open(path, "w:gz", compresslevel=1) as package:
        for name, content in {**files, "ort.all.js": b"not taken"}.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return path


def test_a_package_and_its_folders_are_the_same(files: Library, library_folder: Path, tmp_path: Path) -> None:
    assert library(packed(tmp_path / PACKAGE, files)) == files
    (tmp_path / "package").mkdir()
    shutil.copytree(library_folder, tmp_path / "package" / "dist")
    assert library(tmp_path / "package") == files


def test_what_was_fetched_is_kept(files: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that writes the package where npm would; the second time there is none."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    package = packed(tmp_path / PACKAGE, files)
    monkeypatch.setattr(module, "npm", lambda: [sys.executable, "-c", NPM, str(package)])
    notes: list[str] = []
    assert library(note=notes.append) == files
    assert len(notes) == 1
    monkeypatch.setattr(module, "npm", lambda: pytest.fail("it is in the cache"))
    assert library(note=notes.append) == files
    kept = next((tmp_path / "cache").rglob("ort.wasm.min.mjs"))
    kept.write_bytes(kept.read_bytes() + b" ")
    monkeypatch.setattr(module, "npm", lambda: [sys.executable, "-c", NPM, str(package)])
    assert library() == files, "what was changed is fetched anew"


def test_what_is_not_that_version_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"has no ort\.webgpu\.min\.mjs; expected npm's package onnxruntime-web@"):
        library(folder)
    for name in FILES:
        (folder / name).write_bytes(b"another version's")
    with pytest.raises(UsageError, match=r"its ort\.webgpu\.min\.mjs is not that of version"):
        library(folder)
    (tmp_path / PACKAGE).write_bytes(b"no package")
    with pytest.raises(UsageError, match=r"cannot be read .*; expected onnxruntime-web-.*\.tgz, as `npm pack"):
        library(tmp_path / PACKAGE)


def test_without_npm_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert npm() is None
    with pytest.raises(UsageError, match=r"which is not installed: pip install 'nafnet-toolchain\[web\]', or give"):
        library()


def test_without_a_network_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path))
    failing = [sys.executable, "-c", "import sys; sys.exit('npm error code ENOTFOUND\\nnpm error network')"]
    monkeypatch.setattr(module, "npm", lambda: failing)
    with pytest.raises(UsageError, match=r"could not fetch .*ENOTFOUND npm error network.*--onnxruntime-web FILE$"):
        library()
    monkeypatch.setattr(module, "npm", lambda: [str(tmp_path / "gone")])
    with pytest.raises(UsageError, match="could not fetch"):
        library()
