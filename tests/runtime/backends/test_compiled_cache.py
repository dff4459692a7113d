"""OpenVINO's compiled models between runs: the same results, and nothing damaged is trusted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from nafnet.onnxfile import inspect_onnx
from nafnet.pretrained import bundled_model
from nafnet.runtime.backends import compiled_cache
from nafnet.runtime.backends.compiled_cache import compiled_folder
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.openvino_cpu import OpenVinoBackend
from nafnet.wire import Batch

TILE: Batch = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def restored() -> Batch:
    path = bundled_model(".onnx")
    with OpenVinoBackend(Model(path=path, spec=inspect_onnx(path)), 1) as backend:
        return backend(TILE)


def blob(cache: Path) -> Path:
    (found,) = cache.glob("*/*.blob")
    return found


def test_the_second_load_takes_what_the_first_compiled(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = restored()
    made = blob(cache).stat().st_mtime_ns
    monkeypatch.setattr(compiled_cache, "_keep", lambda *_: pytest.fail("compiled again"))
    assert np.array_equal(restored(), first)
    assert blob(cache).stat().st_mtime_ns == made


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "no seal", "another file"])
def test_what_is_damaged_is_made_anew(damage: str, cache: Path) -> None:
    first = restored()
    path = blob(cache)
    whole = path.read_bytes()
    path.chmod(0o600)
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":  # OpenVINO takes it, and gives another picture
        path.write_bytes(
            whole[:2_000_000] + bytes(255 - byte for byte in whole[2_000_000:2_004_000]) + whole[2_004_000:]
        )
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no seal":
        (path.parent / "sha256").unlink()
    else:
        (path.parent / "other.blob").write_bytes(whole)
    assert np.array_equal(restored(), first)
    assert len(blob(cache).read_bytes()) == pytest.approx(len(whole), rel=0.01), "it does not always write the same"
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = restored()
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "file"))
    assert np.array_equal(restored(), first)


def test_an_error_keeps_nothing(cache: Path) -> None:
    def fail() -> None:
        with compiled_folder("key") as folder:
            assert folder is not None
            (folder / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(cache.iterdir())


def test_what_was_not_used_for_longest_goes_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_cache, "MOST_BYTES", 2500)
    for name, age in (("a", 200), ("b", 100), ("c", 0)):
        with compiled_folder(name) as folder:
            assert folder is not None
            (folder / name).write_bytes(bytes(1000))
            if name == "c":  # use a, so that b is the oldest
                with compiled_folder("a"):
                    pass
        for made in cache.glob(f"*/{name}"):
            when = time.time() - age
            os.utime(made.parent, (when, when))
    assert {path.name for path in cache.glob("*/?")} == {"a", "c"}


def test_what_a_killed_process_left_goes_after_a_day(cache: Path) -> None:
    cache.mkdir(parents=True)
    for name, age in ((".old", 2 * 86_400), (".new", 60)):
        (cache / name).mkdir()
        when = time.time() - age
        os.utime(cache / name, (when, when))
    with compiled_folder("second") as made:
        assert made is not None
        (made / "blob").write_bytes(bytes(10))
    assert not (cache / ".old").exists()
    assert (cache / ".new").exists()
