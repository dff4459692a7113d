"""Files that are no models, under the names of models: the message says what they are, and never frightens."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nafnet.checkpoint import load_checkpoint
from nafnet.errors import CheckpointError, ModelError, NafnetError
from nafnet.onnxfile import inspect_onnx
from nafnet.planfile import inspect_plan
from nafnet.pretrained import bundled_model

READERS: dict[str, tuple[Callable[[Path], object], type[NafnetError], str]] = {
    ".pth": (load_checkpoint, CheckpointError, "a PyTorch checkpoint"),
    ".safetensors": (load_checkpoint, CheckpointError, "a safetensors file"),
    ".onnx": (inspect_onnx, ModelError, "an ONNX model"),
    ".plan": (inspect_plan, ModelError, "a TensorRT plan"),
}


def picture(kind: str) -> bytes:
    content = io.BytesIO()
    Image.effect_noise((40, 30), 30).convert("RGB").save(content, kind)
    return content.getvalue()


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in ("README.md", "NAFNet/net.pth", "NAFNet/a", "NAFNet/b"):
            file.writestr(name, "x")
    return content.getvalue()


def torch_file(**options: bool) -> bytes:
    content = io.BytesIO()
    torch.save({"params": {"weight": torch.zeros(5000)}}, content, **options)
    return content.getvalue()


def program() -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # such files are there all the same
        torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), content)
    return content.getvalue()


SAFETENSORS = bundled_model(".safetensors").read_bytes()
ONNX = bundled_model(".onnx").read_bytes()
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg": (lambda: picture("JPEG"), r"a picture \(JPEG\)"),
    "png": (lambda: picture("PNG"), r"a picture \(PNG\)"),
    "webp": (lambda: picture("WEBP"), r"a picture \(WEBP\)"),
    "gif": (lambda: picture("GIF"), r"a picture \(GIF\)"),
    "tiff": (lambda: picture("TIFF"), r"a picture \(TIFF\)"),
    "bmp": (lambda: picture("BMP"), r"a picture \(BMP\)"),
    "avif": (lambda: picture("AVIF"), r"a picture \(AVIF\)"),
    "zip": (archive, r"a zip archive \(README.md, NAFNet/net.pth, NAFNet/a, \.\.\.\)"),
    "page": (
        lambda: b"\n<!DOCTYPE html>\n<html><head><title>net.pth at main",
        "a web page that was saved in its place",
    ),
    "error": (lambda: b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "an XML document"),
    "pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 116000000\n",
        r"a Git LFS pointer to the real file of 116\.0 MB",
    ),
    "json": (lambda: b'{"error": "Repository not found"}', "JSON text"),
    "text": (lambda: "Grüße\n".encode() * 200, "plain text"),
    "empty": (lambda: b"", "an empty file"),
    "gzip": (lambda: b"\x1f\x8b\x08" + b"\0" * 30, "a gzip archive"),
    "program": (program, "a TorchScript program"),
}


@pytest.mark.parametrize("ending", READERS)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_model_is_called_what_it_is(name: str, ending: str, tmp_path: Path) -> None:
    make, what = FILES[name]
    read, error, expected = READERS[ending]
    path = tmp_path / f"net{ending}"
    path.write_bytes(make())
    with pytest.raises(error, match=rf"net{ending}: .*this is {what}.*; expected {expected}") as refusal:
        read(path)
    assert "\n" not in str(refusal.value)
    assert "run code" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("net.pth", torch_file()[:15_000], r"the first 15 KB of a zip file, such as PyTorch writes"),
        ("net.safetensors", SAFETENSORS[:2_000_000], r"the first 2\.0 MB of a safetensors file of 6\.9 MB"),
        ("net.safetensors", SAFETENSORS[:300], "the first 300 bytes of a safetensors file"),
    ],
    ids=["torch", "safetensors", "header"],
)
def test_what_was_cut_short_says_so(name: str, content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"this is {what}; expected all of it: download or copy it again"):
        load_checkpoint(tmp_path / name)


def test_a_cut_graph_says_so(tmp_path: Path) -> None:
    """Its format has no length to tell it by, and no beginning that is surely its own."""
    for content, begins in ((ONNX[: len(ONNX) // 2], "08 09"), (b"\xff\xe4\x22\x79\xf3\xbd" * 50, "ff e4")):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=rf"damaged, cut short, or no ONNX model at all \(.*begins with {begins}"):
            inspect_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("content", "ending", "right"),
    [
        (SAFETENSORS, ".pth", "net.safetensors"),
        (ONNX, ".pth", "net.onnx"),
        (torch_file(), ".safetensors", "net.pth"),
        (torch_file(_use_new_zipfile_serialization=False), ".onnx", "net.pth"),
        (b"ftrt" + bytes(40), ".onnx", "net.plan"),
    ],
    ids=["safetensors", "onnx", "zip", "legacy", "plan"],
)
def test_a_model_under_another_models_name_says_which_is_right(
    content: bytes, ending: str, right: str, tmp_path: Path
) -> None:
    read, error, _ = READERS[ending]
    (tmp_path / f"net{ending}").write_bytes(content)
    with pytest.raises(error, match=rf"expected .*: name it {right}$"):
        read(tmp_path / f"net{ending}")


def test_a_header_that_looks_like_a_picture_is_none(tmp_path: Path) -> None:
    """The length of a header comes first, and may be the bytes BM, with which a bitmap begins."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    length = b"BM" + bytes(6)
    padded = header.ljust(int.from_bytes(length, "little"))
    (tmp_path / "net.safetensors").write_bytes(length + padded + bytes(8))
    with pytest.raises(CheckpointError, match="not a NAFNet checkpoint: 1 tensor"):
        load_checkpoint(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({"weight": 1}, protocol=4), r"not written by torch\.save, or damaged"),
        (np.random.default_rng(0).bytes(3000), r"not written by torch\.save, or damaged \(3000 bytes, begins with"),
        (pickle.dumps({"config": Path("x")}, protocol=2), r"more than tensors \(pathlib\..*could run code"),
    ],
    ids=["protocol", "noise", "object"],
)
def test_only_what_could_run_code_is_said_to(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(tmp_path / "net.pth")


def test_odd_little_files_are_one_line(tmp_path: Path) -> None:
    """One byte of each beginning that is looked at further."""
    for ending, (read, error, _) in READERS.items():
        for content in (b"\x80", b"\x08", b"P", b"PK\3\4", b"{", b"\x10" + bytes(7) + b"{", b"<", b"\xef\xbb\xbf"):
            (tmp_path / f"net{ending}").write_bytes(content)
            with pytest.raises(error) as refusal:
                read(tmp_path / f"net{ending}")
            assert "\n" not in str(refusal.value)


def zip_with(position: int, value: bytes, *, central: int = 0) -> bytes:
    """A zip file whose table of contents, or the entry itself, has other bytes at a place."""
    content = bytearray(archive())
    start = content.index(b"PK\1\2") if central else 0
    content[start + position : start + position + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".pth", zip_with(6, b"\xc8\x00", central=1)),  # it says that version 20.0 is needed
        (".pth", zip_with(8, b"\x00\x08", central=1)[:-22] + archive()[-22:]),  # names in UTF-8, and they may not be
        (".onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize " + b"9" * 400 + b"\n"),
        (".safetensors", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1' + b"0" * 400 + b"]}}"),
        (".safetensors", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,Infinity]}}'),
        (".pth", b"\xff"),
        (".onnx", b"\x00"),
    ],
)
def test_numbers_that_no_file_has_are_one_line(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"odd{ending}"
    path.write_bytes((len(content).to_bytes(8, "little") if ending == ".safetensors" else b"") + content)
    reader, error, _ = READERS[ending]
    with pytest.raises(error) as raised:
        reader(path)
    assert "odd" in str(raised.value)
    assert len(content) > 1 or "plain text" not in str(raised.value)
    assert " inf " not in str(raised.value)
