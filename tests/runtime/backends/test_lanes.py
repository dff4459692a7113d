"""Lanes and several devices: batches at work at once, results in order, errors where they belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nafnet.errors import BackendError, UsageError
from nafnet.runtime.backends import choose_for
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.lanes import Lane, LaneBackend, SeveralDevices
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending
from nafnet.spec import ModelSpec
from tests.streaming import streamed


class SlowLane(Lane):
    """Gives its input back, and records how many lanes were busy at once."""

    busy = most = 0

    def start(self, pending: Pending) -> None:
        self._batch = pending.written("float32")
        SlowLane.busy += 1
        SlowLane.most = max(SlowLane.most, SlowLane.busy)

    def finish(self) -> NDArray[np.generic]:
        SlowLane.busy -= 1
        if self._batch.max() > 0.95:
            raise RuntimeError("it fails here")
        return self._batch


class Laned(LaneBackend):
    name = "laned"

    @property
    def description(self) -> str:
        return "lanes"

    def make_lanes(self, count: int) -> list[Lane]:
        return [SlowLane() for _ in range(count)]


def batches(count: int) -> list[NDArray[np.float32]]:
    return [np.full((1, 3, 16, 16), index / 100, np.float32) for index in range(count)]


def test_lanes_keep_the_order_and_work_at_once(identity_onnx: Path) -> None:
    backend = Laned(Model(path=identity_onnx, spec=ModelSpec()), None)
    SlowLane.busy = SlowLane.most = 0
    restored = streamed(backend, batches(9))
    assert [round(float(batch.max()) * 100) for batch in restored] == list(range(9))
    assert (SlowLane.busy, SlowLane.most) == (0, 2)
    assert np.array_equal(backend(batches(5)[4]), batches(5)[4])


def test_a_lane_that_fails_leaves_none_busy(identity_onnx: Path) -> None:
    backend = Laned(Model(path=identity_onnx, spec=ModelSpec()), None)
    SlowLane.busy = 0
    with pytest.raises(BackendError, match="it fails here"):
        streamed(backend, batches(99))
    assert SlowLane.busy == 0


def devices(path: Path) -> list[Backend]:
    return [Laned(Model(path=path, spec=ModelSpec()), None, f"cuda:{number}") for number in range(3)]


def test_several_devices_share_the_batches_in_order(identity_onnx: Path) -> None:
    SlowLane.busy = SlowLane.most = 0
    with SeveralDevices(devices(identity_onnx)) as backend:
        restored = streamed(backend, batches(40))
        assert "2 more" in backend.description
    assert [round(float(batch.max()) * 100) for batch in restored] == list(range(40))
    assert SlowLane.busy == 0
    assert SlowLane.most > 3, "each device has more than one batch at work"


def test_a_device_that_fails_is_heard_of_and_leaves_none_busy(identity_onnx: Path) -> None:
    SlowLane.busy = 0
    restored = []
    with SeveralDevices(devices(identity_onnx)) as backend, pytest.raises(BackendError, match="it fails here"):
        restored.extend(streamed(backend, batches(99)))
    assert SlowLane.busy == 0


class FakeValue:
    """ONNX Runtime's value on a device: an array that has an address."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.array = np.full(shape, np.nan, np.float32)

    def update_inplace(self, batch: NDArray[np.float32]) -> None:
        assert batch.shape == self.array.shape
        self.array[...] = batch

    def numpy(self) -> NDArray[np.float32]:
        return self.array.copy()


class FakeSession:
    """ONNX Runtime with CUDA graphs: what was captured under a number is replayed, whatever is bound."""

    def __init__(self) -> None:
        self.graphs: dict[str, Callable[[], None]] = {}
        self.replays = 0

    def get_inputs(self) -> list[Any]:
        return [type("Node", (), {"name": "image"})]

    get_outputs = get_inputs

    def io_binding(self) -> Any:
        session = self

        class Binding:
            def bind_ortvalue_input(self, _: str, value: FakeValue) -> None:
                session.given = value

            def bind_ortvalue_output(self, _: str, value: FakeValue) -> None:
                given = session.given

                def work() -> None:
                    value.array[...] = given.array / 2

                self.work = work

        return Binding()

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        number = options.get_run_config_entry("gpu_graph_id")
        if number == "-1":
            binding.work()
        elif number in self.graphs:
            self.replays += 1
            self.graphs[number]()
        else:
            self.graphs[number] = binding.work
            binding.work()


def test_a_captured_graph_is_replayed_for_its_own_shape_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from nafnet.runtime.backends.onnxruntime_cuda import BoundLane

    monkeypatch.setattr(
        onnxruntime.OrtValue, "ortvalue_from_shape_and_type", staticmethod(lambda shape, *_: FakeValue(shape))
    )
    session = FakeSession()
    lane = BoundLane(session, 0, "float32", graphs=True)
    for seed, count in enumerate([1, 8, 3, 8, 8, 3, 8, 1, 3, 8, 5, 5, 5, 6, 6, 7, 7, 7, 8]):
        batch = np.random.default_rng(seed).random((count, 3, 16, 16), np.float32)
        lane.start(Pending.of(batch, "float32"))
        assert np.array_equal(lane.finish(), batch / 2)
    lane.close()
    assert session.replays > 3


@pytest.mark.parametrize("device", ["cuda:x", "cpu:1", "cuda,cuda:0", "cuda:0,cuda:0", "gpu:", "tpu"])
def test_devices_that_are_none_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match="expected cpu, cuda"):
        choose_for("auto", None, device)


def test_a_device_that_auto_has_no_backend_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nafnet.system.nvidia.cuda_devices", lambda: 0)
    with pytest.raises(BackendError, match=r"--device cuda: .*no NVIDIA GPU.*torch-cuda"):
        choose_for("auto", None, "cuda")
    with pytest.raises(BackendError, match=r"--device gpu: .*openvino-gpu"):
        choose_for("auto", None, "gpu")
