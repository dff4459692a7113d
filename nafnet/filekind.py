"""What a file is by its first bytes: said where it was taken for a model and is something else, or not all there."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from pathlib import Path
from typing import Literal

from nafnet.errors import NafnetError
from nafnet.images.formats import sniff

ModelKind = Literal["PyTorch checkpoint", "safetensors file", "ONNX model", "TensorRT plan"]
_ENDINGS: dict[ModelKind, str] = {
    "PyTorch checkpoint": ".pth", "safetensors file": ".safetensors", "ONNX model": ".onnx", "TensorRT plan": ".plan",
}  # fmt: skip
_START = 512  # bytes that are looked at
_LONGEST_HEADER = 100_000_000  # of safetensors, by its own library
_AGAIN = "download or copy it again"
_UNPACK = "unpack it first"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"GIF8", "a picture (GIF)", ""),
    (b"%PDF", "a PDF document", ""),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file, such as Keras writes", ""),
    (b"\x93NUMPY", "a NumPy array", ""),
    (b"GGUF", "a GGUF file of a language model", ""),
    (b"MZ", "a Windows program", ""),
    (b"\x7fELF", "a Linux program or library", ""),
)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\s.*?\bsize (\d{1,18})\b", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a file is, and what to do about it where it was to be a model."""

    what: str
    remedy: str = ""
    model: ModelKind | None = None
    """Where it is a model of a known kind,"""
    whole: bool = True
    """and whether all of it is there, as far as that can be seen."""


def refuse_other(path: Path, expected: ModelKind, error: type[NafnetError]) -> None:
    """Raise `error` if the file is plainly no whole `expected`, but another kind of file, empty or cut short.

    A file whose bytes are not known, or that cannot be read, is left to its reader.
    """
    if found := _other_than(path, expected):
        remedy = found.remedy
        if found.model and found.model != expected:
            remedy = f"name it {path.stem}{_ENDINGS[found.model]}" if found.whole else ""
        article = "an" if expected.startswith("ONNX") else "a"
        wanted = "all of it" if found.model == expected else f"{article} {expected}"
        raise error(f"{path}: this is {found.what}; expected {wanted}{f': {remedy}' if remedy else ''}")


def what_else(path: Path, expected: ModelKind) -> str | None:
    """What the file plainly is, where that is no whole `expected`: `a picture (JPEG)`; else None."""
    found = _other_than(path, expected)
    return found.what if found else None


def first_bytes(path: Path) -> str:
    """Of a file that nobody knows, for a message: `3.5 MB, begins with 3f 00 a1 07`."""
    with path.open("rb") as file:
        return f"{_bytes(path.stat().st_size)}, begins with {file.read(6).hex(' ')}"


def _other_than(path: Path, expected: ModelKind) -> _Found | None:
    try:
        found = _identify(path)
    except OSError:
        return None
    return None if found is None or (found.model == expected and found.whole) else found


def _identify(path: Path) -> _Found | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        return _Found("an empty file", _AGAIN)
    if pointer := _LFS.match(start):
        real = _bytes(int(pointer[1]))  # of at most 18 digits
        return _Found(f"a Git LFS pointer to the real file of {real}", "fetch that with `git lfs pull`")
    return _model(path, start, size) or _other(start)


def _model(path: Path, start: bytes, size: int) -> _Found | None:
    """The kinds of model, some of which tell where they end."""
    first = start[0]
    second = start[1] if len(start) > 1 else 0
    if start.startswith(b"PK\3\4"):
        return _zip(path, size)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _LONGEST_HEADER:
        return _safetensors(path, size)
    if first == 0x80 and 2 <= second <= 5:
        return _Found("a Python pickle, as PyTorch writes them", model="PyTorch checkpoint")
    if start[1:4] == b"trt":  # after an f, or TensorRT-RTX's v
        return _Found("a TensorRT plan", model="TensorRT plan")
    # Protocol buffers have no magic, but exporters begin with the version of the format, and one of these fields.
    if first == 0x08 and 1 <= second < 64 and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
        return _Found("an ONNX model", model="ONNX model")
    return None


def _zip(path: Path, size: int) -> _Found:
    try:
        with zipfile.ZipFile(path) as archive:  # the table of what is in it stands at its end
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # damaged, or made to look so
        what = f"the first {_bytes(size)} of a zip file, such as PyTorch writes"
        return _Found(what, _AGAIN, "PyTorch checkpoint", whole=False)
    if any(name.endswith("/constants.pkl") for name in names):
        return _Found("a TorchScript program", "load it with torch.jit.load, and save its state dict with torch.save")
    if any(name.endswith("/data.pkl") for name in names):
        return _Found("a zip file as PyTorch writes them", model="PyTorch checkpoint")
    some = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    return _Found(f"a zip archive ({some or 'of nothing'})", _UNPACK)


def _safetensors(path: Path, size: int) -> _Found:
    """Its header says where the last tensor ends."""
    with path.open("rb") as file:
        whole = 8 + int.from_bytes(file.read(8), "little")
        told = file.read(whole - 8)
    of = ""
    if size >= whole:
        try:
            ends = [part["data_offsets"][1] for name, part in json.loads(told).items() if name != "__metadata__"]
            if all(isinstance(end, int) and end < 2**63 for end in ends):
                whole += max(ends)
                of = f" of {_bytes(whole)}"
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            pass  # nonsense, which is left to the library
    if size < whole:
        return _Found(f"the first {_bytes(size)} of a safetensors file{of}", _AGAIN, "safetensors file", whole=False)
    return _Found("a safetensors file", model="safetensors file")


def _other(start: bytes) -> _Found | None:
    for magic, what, remedy in _MAGIC:
        if start.startswith(magic):
            return _Found(what, remedy)
    if picture := sniff(start):
        return _Found(f"a picture ({picture.upper()})")
    if start[4:8] == b"ftyp":
        return _Found("a video, sound or picture in an MP4 container")
    if start[257:262] == b"ustar":
        return _Found("a tar archive", _UNPACK)
    return _text(start)


def _text(start: bytes) -> _Found | None:
    """What sort of text it is; None where it is none."""
    text = start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace").lstrip().lower()
    if text.startswith("<") and ("<!doctype html" in text or "<html" in text):
        return _Found("a web page that was saved in its place", "download the file itself")
    if text.startswith("<?xml"):
        return _Found("an XML document, such as a server sends for a file that it has not", _AGAIN)
    whole = text[:-1] if len(start) == _START else text  # its last character may be cut in two
    if "�" in whole or not all(character.isprintable() or character.isspace() for character in whole):
        return None
    return _Found("JSON text" if text.startswith(("{", "[")) else "plain text")


def _bytes(count: int) -> str:
    """A size in round figures: `300 bytes`, `12 KB`, `3.5 MB`."""
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} KB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"
