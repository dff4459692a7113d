"""A backend that does not load: one line that names it and the model, nothing left open, and `auto` goes on."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest

from nafnet.closing import Closing
from nafnet.errors import BackendError, DeviceMemoryError, HostMemoryError, MissingExtraError, ModelError, NafnetError
from nafnet.runtime import Restorer
from nafnet.runtime import backends as registry
from nafnet.runtime.backends import REGISTRY, Choice, make_backend
from nafnet.runtime.backends.lanes import Lane, LaneBackend, SeveralDevices
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.runtime.engine import model_source
from nafnet.spec import ModelSpec
from nafnet.system import SYSTEM


class OpenLane(Lane):
    """Counts those that are open; gives its input back."""

    count = 0

    def __init__(self, failing: bool = False) -> None:
        OpenLane.count += 1
        self._failing = failing

    def start(self, pending: Pending) -> None:
        self._batch = pending.written("float32")

    def finish(self) -> Wired:
        return self._batch

    def close(self) -> None:
        OpenLane.count -= 1
        if self._failing:
            raise RuntimeError("a lane that does not close")


class Refusing(LaneBackend):
    """Makes its lanes, then fails as its library would."""

    name = "refusing"
    error: Exception | None = None
    on: str | None = None
    """The device that it fails on; None for any."""
    failing_close = False

    @property
    def description(self) -> str:
        return f"lanes on {self.device}"

    def make_lanes(self, count: int) -> list[Lane]:
        for _ in range(count):
            self._lanes.append(OpenLane(self.failing_close and not self._lanes))
        if self.error is not None and self.on in (None, self.device):
            raise self.error
        return self._lanes


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenLane, "count", 0)
    for name in ("error", "on", "failing_close"):
        monkeypatch.setattr(Refusing, name, getattr(Refusing, name))


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes it before all others, and it is on the CPU."""
    entry = dataclasses.replace(REGISTRY["onnxruntime"], target=f"{__name__}:Refusing", absent=lambda: None)
    for module in (registry, model_source):
        monkeypatch.setattr(module, "REGISTRY", {"refusing": entry, "onnxruntime": REGISTRY["onnxruntime"]})


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (AssertionError("Torch not compiled with CUDA enabled"), ModelError, "Torch not compiled with CUDA enabled"),
        (ImportError("libnvinfer.so.10: cannot open\n  shared object"), ModelError, "cannot open shared object"),
        (OSError("libcudart"), ModelError, "libcudart"),
        (RuntimeError("CUDA driver version is insufficient"), ModelError, "insufficient"),
        (RuntimeError("CUDA out of memory. Tried\nto allocate"), DeviceMemoryError, "Tried to allocate"),
        (MemoryError(), HostMemoryError, "MemoryError"),
    ],
)
def test_a_librarys_error_is_one_line_of_ours(
    error: Exception, kind: type[NafnetError], said: str, identity_onnx: Path
) -> None:
    Refusing.error = error
    with pytest.raises(kind) as caught:
        Refusing(Model(path=identity_onnx, spec=ModelSpec()), None)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert line.startswith(f"refusing: loading {identity_onnx.name} failed (")
    assert said in line
    assert "\n" not in line
    assert OpenLane.count == 0, "what was made before is closed"


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("error", [AssertionError("no CUDA"), MissingExtraError("cuda-bindings", "tensorrt")])
def test_auto_goes_on_and_says_why(error: Exception, identity_onnx: Path) -> None:
    Refusing.error = error
    said: list[str] = []
    with Restorer.load(identity_onnx, say=said.append) as restorer:
        assert restorer.backend.name == "onnxruntime"
    assert len(said) == 1
    assert str(error) in said[0]
    assert said[0].endswith("; going on with onnxruntime")


@pytest.mark.usefixtures("first")
def test_a_library_that_cannot_be_imported_is_passed_over(identity_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str) -> Any:
        if name == __name__:
            raise OSError("libcublas.so.13: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    said: list[str] = []
    Restorer.load(identity_onnx, say=said.append).close()
    assert "refusing: importing its library failed (libcublas.so.13: cannot open shared object file)" in said[0]
    monkeypatch.setattr(SYSTEM, "loading_remedy", lambda error: f"mend {type(error).__name__}")
    with pytest.raises(BackendError, match=r"importing its library failed \(libcublas.*file\); mend OSError$"):
        Restorer.load(identity_onnx, backend="refusing")


@pytest.mark.usefixtures("first")
def test_where_every_backend_refuses_all_reasons_are_told(identity_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nafnet.runtime.backends.onnxruntime_cpu import OnnxRuntimeBackend

    def no_session(*_: object) -> None:
        raise ModelError("the second reason")

    Refusing.error = RuntimeError("the first reason")
    monkeypatch.setattr(OnnxRuntimeBackend, "_session", no_session)
    with pytest.raises(ModelError, match=r"^refusing: .*\(the first reason\); the second reason$"):
        Restorer.load(identity_onnx)


@pytest.mark.usefixtures("first")
def test_what_is_refused_after_it_was_loaded_is_closed(identity_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its constructor, or as its result is not what it has to be."""
    monkeypatch.setattr(OpenLane, "finish", lambda lane: lane._batch[..., :1])
    with Restorer.load(identity_onnx) as restorer:
        assert restorer.backend.name == "onnxruntime"
        assert OpenLane.count == 0

    def refuse(*_: object, **__: object) -> None:
        raise ModelError("takes 4 channels")

    monkeypatch.setattr(Restorer, "__init__", refuse)
    with pytest.raises(ModelError, match="4 channels"):
        Restorer.load(identity_onnx)
    assert OpenLane.count == 0


def test_of_several_devices_those_that_loaded_are_closed(identity_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "backend_class", lambda _: Refusing)
    Refusing.error, Refusing.on = RuntimeError("not this one"), "cuda:1"
    choice = Choice(name="refusing", devices=("cuda:0", "cuda:1"), reason="as asked")
    with pytest.raises(ModelError, match="not this one"):
        make_backend(choice, Model(path=identity_onnx, spec=ModelSpec()), None)
    assert OpenLane.count == 0


def test_a_lane_that_does_not_close_keeps_no_other_open(identity_onnx: Path) -> None:
    Refusing.failing_close = True
    model = Model(path=identity_onnx, spec=ModelSpec())
    several = SeveralDevices([Refusing(model, None, f"cuda:{number}") for number in range(2)])
    assert OpenLane.count == 4
    with pytest.raises(RuntimeError, match="does not close"):
        several.close()
    assert OpenLane.count == 0
    several.close()


def test_a_companion_that_does_not_close_keeps_no_backend_open(identity_onnx: Path) -> None:
    class Companion(Closing):
        def close(self) -> None:
            raise RuntimeError("a companion")

    backend = Refusing(Model(path=identity_onnx, spec=ModelSpec()), None)
    restorer = Restorer(backend, tile=32, overlap=0, batch=1)
    restorer.companion(Companion)
    with pytest.raises(RuntimeError, match="a companion"):
        restorer.close()
    assert OpenLane.count == 0
