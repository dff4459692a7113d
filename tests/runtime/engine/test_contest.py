"""Of a GPU that no gate ever ran on and the CPU, `auto` takes the faster, by a clock of the test's own."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from nafnet.errors import ModelError
from nafnet.pretrained import bundled_model
from nafnet.runtime import Restorer
from nafnet.runtime.backends import REGISTRY
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.onnxruntime_providers import WebGpuBackend
from nafnet.runtime.engine import contest
from nafnet.runtime.folder.report import opening
from nafnet.wire import Batch
from tests.runtime.backends.provider_machine import Install, installing

CPU = "openvino"
WRONG = "gives another result than PyTorch for model.onnx"

pytest.importorskip("openvino")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """See `installing`."""
    yield from installing(monkeypatch)


class Clock:
    """Goes on where a backend runs, by what its device takes for a tile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.costs: dict[str, Callable[[int], float]] = {}
        self.ran: list[tuple[str, int]] = []

    def perf_counter(self) -> float:
        return self.now

    def cost(self, name: str, of_48: float, of_256: float) -> None:
        self.costs[name] = lambda side: of_256 if side == 256 else of_48


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A CPU that takes 1 ms for a tile of 48, and 10 ms for one of 256."""
    clock, honest = Clock(), Backend.__call__
    clock.cost(CPU, 0.001, 0.01)

    def call(backend: Backend, batch: Batch) -> Batch:
        clock.ran.append((backend.name, batch.shape[-1]))
        clock.now += clock.costs[backend.name](batch.shape[-1])
        return honest(backend, batch)

    monkeypatch.setattr(Backend, "__call__", call)
    monkeypatch.setattr(contest, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def test_a_faster_device_is_taken_and_the_figures_are_said(install: Install, darkening: Path, clock: Clock) -> None:
    install("webgpu")
    clock.cost("webgpu", 0.002, 0.004)
    with Restorer.load(darkening) as restorer:
        assert restorer.backend.name == "webgpu"
        line = opening(restorer, 2)
    assert re.fullmatch(
        r"2 files, model\.onnx \(.*\) on ONNX Runtime [\d.]+, WebGPU, gpu:0 "
        r"\(a tile of 256 takes 4 ms; on openvino one takes 10 ms\), tiles of 256, overlap 16",
        line,
    )


@pytest.mark.parametrize("of_256", [0.0101, 0.02])
def test_one_that_is_no_faster_is_not(install: Install, darkening: Path, clock: Clock, of_256: float) -> None:
    install("webgpu")
    clock.cost("webgpu", 0.009, of_256)
    said: list[str] = []
    with Restorer.load(darkening, say=said.append) as restorer:
        assert restorer.backend.name == CPU
        taken = f"{1000 * of_256:.3g} ms"
        assert restorer.figures == f"a tile of 256 takes 10 ms; on webgpu one takes {taken}"
    assert said == [f"measuring a tile of 256 on {name}, once for this model and machine" for name in (CPU, "webgpu")]


def test_one_that_a_program_plays_is_given_no_whole_tile(install: Install, darkening: Path, clock: Clock) -> None:
    """It takes longer for a small one than the CPU does for a whole one, so for a whole one it would take minutes."""
    install("webgpu")
    clock.cost("webgpu", 1.79, 190)
    with Restorer.load(darkening) as restorer:
        assert restorer.backend.name == CPU
        assert restorer.figures == "a tile of 256 takes 10 ms; on webgpu one of 48 takes 1,790 ms"
    assert {side for name, side in clock.ran if name == "webgpu"} == {48}


def test_it_is_measured_once(install: Install, darkening: Path, clock: Clock) -> None:
    machine = install("webgpu")
    clock.cost("webgpu", 1.79, 190)
    Restorer.load(darkening).close()
    clock.ran.clear()
    machine.refuses = "the device is not even loaded"
    said: list[str] = []
    with Restorer.load(darkening, say=said.append) as restorer:
        assert restorer.figures == "a tile of 256 takes 10 ms; on webgpu one of 48 takes 1,790 ms"
    assert (said, clock.ran) == ([], [])


def test_a_driver_that_ends_the_process_does_so_once(
    install: Install, darkening: Path, check_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on the disk while a device is tried is what a process leaves that dies; the next one goes on."""
    install("webgpu")
    measured, left, honest = check_cache.parent / "measured", {}, Backend.__call__

    def call(backend: Backend, batch: Batch) -> Batch:
        if backend.name == "webgpu":
            left.update({path: path.read_bytes() for path in measured.glob("*.trial")})
        return honest(backend, batch)

    monkeypatch.setattr(Backend, "__call__", call)
    Restorer.load(darkening).close()
    assert len(left) == 1
    assert not list(measured.glob("*.trial"))
    for path in measured.iterdir():
        path.unlink()  # it died before it had measured
    ((trial, content),) = left.items()
    trial.write_bytes(content)
    left.clear()
    said: list[str] = []
    with Restorer.load(darkening, say=said.append) as restorer:
        assert restorer.backend.name == CPU
    (line,) = (line for line in said if line.startswith("webgpu: "))
    assert "a run ended while it was measured" in line
    assert "--backend webgpu does" in line
    assert left == {}, "it is not tried"
    trial.unlink()
    Restorer.load(darkening, say=said.append).close()
    assert len(left) == 1


def test_a_refusal_is_said_each_time_and_tried_once(install: Install, darkening: Path) -> None:
    machine = install("webgpu")
    machine.refuses = "no shader compiler"
    for attempt in range(2):
        said: list[str] = []
        Restorer.load(darkening, say=said.append).close()
        assert [line for line in said if "no shader compiler" in line and "going on with" in line]
        assert any("measuring a tile of 256 on webgpu" in line for line in said) == (attempt == 0)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"seconds": "no"}'])
def test_a_damaged_memory_is_none(
    install: Install, darkening: Path, clock: Clock, check_cache: Path, damage: str
) -> None:
    install("webgpu")
    clock.cost("webgpu", 0.002, 0.004)
    Restorer.load(darkening).close()
    kept = list((check_cache.parent / "measured").iterdir())
    assert len(kept) == 2
    for path in kept:
        path.write_text(damage, encoding="utf-8")
    clock.ran.clear()
    with Restorer.load(darkening) as restorer:
        assert restorer.figures == "a tile of 256 takes 4 ms; on openvino one takes 10 ms"
    assert (CPU, 256) in clock.ran


def test_without_a_cache_it_is_measured_each_time(
    install: Install, darkening: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("webgpu")
    clock.cost("webgpu", 0.002, 0.004)
    monkeypatch.setenv("NAFNET_CACHE", str(darkening / "no folder"))
    for _ in range(2):
        clock.ran.clear()
        with Restorer.load(darkening) as restorer:
            assert restorer.backend.name == "webgpu"
        assert (CPU, 256) in clock.ran


def test_what_changes_is_measured_anew(
    install: Install, darkening: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("webgpu")
    clock.cost("webgpu", 1.79, 190)
    Restorer.load(darkening).close()
    for change in (
        lambda: monkeypatch.setenv("VK_ICD_FILENAMES", "another driver"),
        lambda: monkeypatch.setattr("nafnet.runtime.engine.measured._libraries", lambda: (("onnxruntime", "2"),)),
        lambda: monkeypatch.setattr("nafnet.runtime.engine.measured._graphics", lambda: ("another card",)),
    ):
        change()
        clock.ran.clear()
        Restorer.load(darkening).close()
        assert ("webgpu", 48) in clock.ran
    clock.ran.clear()
    Restorer.load(darkening, threads=1).close()
    assert ("webgpu", 48) in clock.ran


def test_a_faster_processor_needs_the_whole_tile(install: Install, darkening: Path, clock: Clock) -> None:
    """What was enough to tell against one CPU is not against a slower one."""
    install("webgpu")
    clock.cost("webgpu", 0.02, 0.03)
    with Restorer.load(darkening) as restorer:
        assert restorer.backend.name == CPU
    clock.cost(CPU, 0.03, 0.3)
    with Restorer.load(darkening, threads=1) as restorer:
        assert restorer.backend.name == "webgpu"


class Second(WebGpuBackend):
    """One more device."""

    name = "second"


@pytest.mark.parametrize("faster", ["webgpu", "second"])
def test_of_several_the_fastest_is_taken(
    install: Install, darkening: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    install("webgpu")
    monkeypatch.setitem(REGISTRY, "second", dataclasses.replace(REGISTRY["webgpu"], target=f"{__name__}:Second"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, SimpleNamespace(Second=Second)))
    for name in ("webgpu", "second"):
        clock.cost(name, 0.002, 0.004 if name == faster else 0.008)
    for device in (None, "gpu"):
        with Restorer.load(darkening, device=device) as restorer:
            assert restorer.backend.name == faster
            assert restorer.figures.startswith("a tile of 256 takes 4 ms; on ")


def test_the_only_one_of_a_device_is_not_measured(install: Install, darkening: Path, clock: Clock) -> None:
    install("webgpu")
    clock.cost("webgpu", 1.79, 190)
    said: list[str] = []
    with Restorer.load(darkening, device="gpu", say=said.append) as restorer:
        assert (restorer.backend.name, restorer.figures, said) == ("webgpu", "", [])


@pytest.mark.parametrize("fault", ["wrong", "refused", "on the CPU"])
def test_auto_goes_on_with_the_cpu_and_says_why(install: Install, darkening: Path, clock: Clock, fault: str) -> None:
    machine = install("webgpu")
    clock.cost("webgpu", 0.0001, 0.0001)
    model, words = darkening, fault
    if fault == "wrong":
        machine.error, words = 2e-4, WRONG
    elif fault == "refused":
        machine.refuses = "Failed to get a WebGPU adapter (refused)"
    else:
        machine.leaves, model = {"Conv"}, bundled_model(".onnx")
        words = "WebGPU leaves its convolutions to the CPU (135 Conv)"
    said: list[str] = []
    with Restorer.load(model, say=said.append) as restorer:
        assert restorer.backend.name == CPU
        assert words in restorer.reason
        assert restorer.figures == "a tile of 256 takes 10 ms"
    assert words in said[-1]
    assert said[-1].endswith(f"; going on with {CPU}")


def test_where_nothing_else_is_wanted_a_refusal_is_an_error(install: Install, darkening: Path) -> None:
    install("webgpu").refuses = "no adapter"
    with pytest.raises(ModelError, match="no adapter"):
        Restorer.load(darkening, device="gpu")
