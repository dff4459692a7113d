"""That a backend was right is remembered for the same model, library, version, device and processor alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nafnet.errors import SpecError
from nafnet.kept_tile import answer_of
from nafnet.onnxfile import embed_spec, inspect_onnx
from nafnet.parity import Answer, ExecutorParity, Parity
from nafnet.runtime import Restorer
from nafnet.runtime.backends import onnxruntime_cpu, openvino_cpu, presence
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine import load_check
from nafnet.runtime.engine.load_check import WrongResultError, check_backends
from nafnet.system import SYSTEM

from .conftest import FACTOR, Device, rewritten, spoil

pytest.importorskip("openvino")


class Counted:
    """How often the kept picture was restored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        honest = load_check.compare_with_answer

        def compare(*arguments: Any) -> Any:
            self.calls += 1
            return honest(*arguments)

        monkeypatch.setattr(load_check, "compare_with_answer", compare)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def load(path: Path, backend: str = "openvino") -> None:
    Restorer.load(path, backend=backend).close()


def test_what_was_right_is_not_asked_again_until_something_is_other(
    darkening: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        load(darkening)
    assert counted.calls == 1
    load(darkening, "onnxruntime")
    assert counted.calls == 2
    monkeypatch.setattr(openvino_cpu, "openvino_version", lambda: "2099.1")
    load(darkening)
    assert counted.calls == 3, "another version"
    monkeypatch.setattr(SYSTEM, "processor_flags", lambda: frozenset({"avx2", "avx512_vnni", "amx_int8"}))
    load(darkening)
    assert counted.calls == 4, "another processor"
    model = onnx.load(darkening)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full(1, FACTOR), "factor"))
    embed_spec(model, inspect_onnx(darkening))
    onnx.save(model, darkening)
    load(darkening)
    assert counted.calls == 5, "another graph"
    load(darkening)
    assert counted.calls == 5


def test_another_driver_is_asked_again(darkening: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(path=darkening, spec=inspect_onnx(darkening))
    for version in ("570.1", "570.1", "580.2", None):
        known = (version,) if version else ()
        monkeypatch.setattr(presence, "gpu_identity", lambda known=known: known)
        with Device(model, None, "cuda:0") as backend:
            assert check_backends(backend.parts)
    assert counted.calls == 3


def test_what_was_wrong_is_asked_each_time(darkening: Path, counted: Counted, check_cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        spoil(openvino_cpu.OpenVinoBackend, patch)
        for _ in range(2):
            with pytest.raises(WrongResultError):
                load(darkening)
    assert counted.calls == 2
    assert not list(check_cache.iterdir())
    load(darkening)
    assert (counted.calls, len(list(check_cache.iterdir()))) == (3, 1)


def test_without_a_cache_it_is_asked_each_time(
    darkening: Path, counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        load(darkening, "onnxruntime")
    assert counted.calls == 2
    spoil(onnxruntime_cpu.OnnxRuntimeBackend, monkeypatch)
    with pytest.raises(WrongResultError):
        load(darkening, "onnxruntime")


def test_a_cache_that_is_full_is_no_error(darkening: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path), len(data))

    monkeypatch.setattr(load_check, "write_whole", full)
    for _ in range(2):
        load(darkening, "onnxruntime")
    assert counted.calls == 2


def test_without_an_answer_there_is_nothing_to_ask(
    darkening: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(openvino_cpu.OpenVinoBackend, monkeypatch)
    rewritten(darkening, answer=None)
    with Restorer.load(darkening, device="cpu") as restorer:
        assert restorer.backend.name == "openvino"
    assert counted.calls == 0


def test_an_answer_of_no_numbers_does_not_make_everything_pass(darkening: Path) -> None:
    nothing = answer_of(np.full((1, 3, 48, 48), np.nan, np.float32))
    for answer, complaint in ((nothing, "not finite"), (Answer(side=48, values="AAAA"), "cannot be read")):
        rewritten(darkening, answer=answer)
        with pytest.raises(SpecError, match=complaint):
            load(darkening)


def test_what_the_export_was_refused_on_is_not_run(
    darkening: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backend by that name, whatever this CPU has."""
    result = ExecutorParity(
        name="openvino-bf16", version="2026.1", precision="bf16", psnr=38.2, max_abs=0.3, p999=0.2, cases=5,
        passed=False,
    )  # fmt: skip
    fine = ExecutorParity(
        name="openvino", version="2026.1", precision="fp32", psnr=130.0, max_abs=1e-6, p999=1e-7, cases=5, passed=True
    )
    parity = Parity(psnr=130.0, max_abs=1e-6, cases=10, passed=True, executors=(fine, result))
    rewritten(darkening, parity=parity, verified=True)
    load(darkening)
    assert counted.calls == 1
    monkeypatch.setattr(openvino_cpu.OpenVinoBackend, "name", "openvino-bf16")
    with pytest.raises(WrongResultError, match=r"refused \(38\.2 dB, largest difference 3\.0e-01\)"):
        load(darkening)
    assert counted.calls == 1, "it need not be asked"


def test_what_computes_in_less_is_judged_by_what_it_computes_in(
    darkening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(openvino_cpu.OpenVinoBackend, monkeypatch, 1e-3)  # 60 dB
    with pytest.raises(WrongResultError):
        load(darkening)
    monkeypatch.setattr(openvino_cpu.OpenVinoBackend, "reduced_to", "bf16")
    load(darkening)
