"""Devices that no gate ever ran on are compared at each load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from nafnet.errors import BackendError
from nafnet.kept_tile import answer_of, kept_tile
from nafnet.onnxfile import inspect_onnx
from nafnet.parity import Parity
from nafnet.runtime import Restorer
from nafnet.runtime.backends import Choice, make_backend
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.load_check import WrongResultError, check_backends
from nafnet.spec import ModelSpec
from tests.runtime.backends.provider_machine import Install, installing

from .conftest import FACTOR, rewritten

MakeOnnx = Callable[..., Path]
NAMES = ("webgpu", "directml", "coreml", "migraphx", "onnx-tensorrt-rtx")
WRONG = "gives another result than PyTorch for model.onnx"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """See `installing`."""
    yield from installing(monkeypatch)


def half_onnx(make_onnx: MakeOnnx, *, verified: bool) -> Path:
    """The darkening model in half."""
    path = make_onnx(
        helper.make_node("Cast", ["image"], ["half"], to=10), helper.make_node("Mul", ["half", "factor"], ["less"]),
        helper.make_node("Cast", ["less"], ["restored"], to=1),
        initializer=[numpy_helper.from_array(FACTOR.astype(np.float16), "factor")], name="half.onnx",
    )  # fmt: skip
    passed = Parity(psnr=70.0, max_abs=1e-3, cases=1, passed=True) if verified else None
    return rewritten(
        path,
        precision="fp16",
        parity=passed,
        verified=verified or None,
        answer=answer_of(kept_tile(ModelSpec()) * FACTOR),
    )


def test_half_runs_where_it_was_verified(install: Install, make_onnx: MakeOnnx) -> None:
    install("webgpu")
    with pytest.raises(
        BackendError, match=r"webgpu: half\.onnx is in fp16, not verified .*expected fp32, or an export"
    ):
        Restorer.load(half_onnx(make_onnx, verified=False), backend="webgpu")
    with Restorer.load(half_onnx(make_onnx, verified=True), backend="webgpu") as restorer:
        assert restorer.restore(np.full((20, 30, 3), 200, np.uint8)).max() == 150


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_differs_is_not_used(name: str, install: Install, darkening: Path) -> None:
    install(name).error = 2e-4
    with pytest.raises(WrongResultError, match=WRONG):
        Restorer.load(darkening, backend=name)


def test_a_model_without_an_answer_is_compared_with_the_cpu(install: Install, identity_onnx: Path) -> None:
    machine = install("webgpu")
    model = Model(path=identity_onnx, spec=inspect_onnx(identity_onnx))
    with make_backend(Choice(name="webgpu", devices=("gpu:0",), reason=""), model, None) as backend:
        assert check_backends(backend.parts)
        machine.error = 2e-4
        with pytest.raises(WrongResultError, match=r"than ONNX Runtime on the CPU for identity\.onnx"):
            check_backends(backend.parts)


def test_it_is_compared_at_each_load(install: Install, darkening: Path, check_cache: Path) -> None:
    """Nothing tells the versions of all that a driver for graphics is made of."""
    machine = install("directml")
    Restorer.load(darkening, backend="directml").close()
    machine.error = 2e-4
    with pytest.raises(WrongResultError):
        Restorer.load(darkening, backend="directml")
    assert not check_cache.exists() or not list(check_cache.iterdir())
