"""A small model that knows what it should give, and backends that are made wrong for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nafnet.kept_tile import answer_of, kept_tile
from nafnet.onnxfile import embed_spec, inspect_onnx
from nafnet.runtime.backends.base import Backend, Run, Shape
from nafnet.runtime.backends.lanes import Lane, LaneBackend
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.spec import ModelSpec

MakeOnnx = Callable[..., Path]
FACTOR = np.float32(0.75)


@pytest.fixture
def check_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is kept that a backend was right."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "checks"


@pytest.fixture
def darkening(make_onnx: MakeOnnx, check_cache: Path) -> Path:
    """A model that gives three quarters of its input, and knows that it should; in a cache of its own."""
    assert not check_cache.exists()
    path = make_onnx(
        helper.make_node("Mul", ["image", "factor"], ["restored"]),
        initializer=[numpy_helper.from_array(FACTOR, "factor")],
    )
    return rewritten(path, answer=answer_of(kept_tile(ModelSpec()) * FACTOR))


def rewritten(path: Path, **fields: Any) -> Path:
    """The file with other fields in its spec."""
    model = onnx.load(path)
    embed_spec(model, inspect_onnx(path).replace(**fields))
    onnx.save(model, path)
    return path


def spoil(kind: type[Backend], monkeypatch: pytest.MonkeyPatch, by: float = 0.02) -> None:
    """Let a backend add something to what its library gives."""
    honest = kind._load

    def load(self: Any, shape: Shape | None) -> Run:
        run = honest(self, shape)
        return lambda batch: run(batch) + np.float32(by)

    monkeypatch.setattr(kind, "_load", load)


class Dimming(Lane):
    """A device that gives its input times a factor."""

    def __init__(self, factor: float) -> None:
        self._factor = np.float32(factor)

    def start(self, pending: Pending) -> None:
        self._given = pending.written("float32")

    def finish(self) -> Wired:
        return self._given * self._factor  # type: ignore[operator]


class Device(LaneBackend):
    """One of several; the second is off."""

    name = "laned"

    @property
    def description(self) -> str:
        return f"lanes on {self.device}"

    def make_lanes(self, count: int) -> list[Lane]:
        return [Dimming(0.7 if self.device == "cuda:1" else FACTOR) for _ in range(count)]
