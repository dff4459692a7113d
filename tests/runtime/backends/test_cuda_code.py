"""A lane of TensorRT's on the GPU that is not there: its order of work, its memory, its graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nafnet.enginelog import log_of
from nafnet.errors import BackendError, DeviceMemoryError
from nafnet.runtime.backends.cuda_memory import Cuda
from nafnet.runtime.backends.engine_lane import EngineLane
from nafnet.runtime.backends.pending import Pending
from tests.gpu_stand_in.device import Device
from tests.gpu_stand_in.machine import Machine
from tests.gpu_stand_in.plan import Header, pack


def halving() -> bytes:
    """An ONNX file that gives half of its input."""
    dims = ("n", 3, "h", "w")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["image", "half"], ["restored"])],
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, dims)],
        [helper.make_tensor("half", TensorProto.FLOAT, (), [0.5])],
    )
    made: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()
    onnx.checker.check_model(made)
    return made


@contextlib.contextmanager
def lane_on(gpu: Machine, batches: tuple[int, int], largest: int = 64) -> Iterator[EngineLane]:
    """A lane, closed in the end; what it told is an error."""
    profile = [(batches[0], 3, 16, 16), (batches[0], 3, 16, 16), (batches[1], 3, largest, largest)]
    header = Header(library="tensorrt", version=gpu.trt.__version__, device=gpu.device.name, profile=profile)
    engine = gpu.trt.Runtime(log_of(gpu.trt).logger).deserialize_cuda_engine(pack(header, halving()))
    told: list[str] = []
    lane = EngineLane(gpu.trt, Cuda(0), engine, batches, "float32", told.append)
    try:
        yield lane
    finally:
        lane.close()
        del lane
    assert gpu.device.held == [], "all was given back"
    assert told == []


def pending(batch: np.ndarray) -> Pending:
    return Pending.of(batch, "float32")


def batch(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, side, side), np.float32)


def test_lane_runs_shapes_in_turn_and_captures_what_repeats(gpu: Machine) -> None:
    with lane_on(gpu, (1, 4)) as lane:
        for seed, (count, side) in enumerate([(2, 32), (2, 32), (2, 32), (2, 32), (1, 64), (1, 64), (2, 32)]):
            given = batch(count, side, seed)
            lane.start(pending(given))
            given_before = given.copy()
            given[...] = 9  # the lane has its own copy
            assert np.array_equal(lane.finish(), given_before * np.float32(0.5))
    assert gpu.device.replays == 3 + 1, "all but the first run of each shape are replayed"


def test_lane_that_cannot_be_awaited_gives_back_what_it_took(gpu: Machine) -> None:
    lanes = contextlib.ExitStack()
    lane = lanes.enter_context(lane_on(gpu, (1, 4)))
    lane.start(pending(batch(2, 32, 0)))
    lane.finish()
    (stream,) = gpu.device.streams.values()
    stream.capture, stream.mode = [], "relaxed"  # as one that somebody left recording
    del lane
    with pytest.raises(BackendError, match="StreamCaptureUnsupported"):
        lanes.close()
    assert gpu.device.held == []


def test_lane_fills_up_what_is_less_than_the_profile_takes(gpu: Machine) -> None:
    with lane_on(gpu, (4, 8)) as lane:
        given = batch(3, 32, 0)
        lane.start(pending(given))
        assert np.array_equal(lane.finish(), given * np.float32(0.5))
        with pytest.raises(BackendError, match="at most 8 tiles"):
            lane.start(pending(batch(9, 32, 0)))
        with pytest.raises(BackendError, match="takes no batch of shape"):
            lane.start(pending(batch(1, 128, 0)))
        lane.start(pending(given))
        assert np.array_equal(lane.finish(), given * np.float32(0.5))


def test_lane_without_memory_says_so_and_gives_back_what_it_took(gpu: Machine) -> None:
    gpu.use(Device(memory=1 << 26))
    with lane_on(gpu, (1, 64)) as lane:
        gpu.device.left = batch(8, 64, 0).nbytes * 3 // 2
        with pytest.raises(DeviceMemoryError, match="cudaErrorMemoryAllocation"):
            lane.start(pending(batch(8, 64, 0)))
        lane.start(pending(batch(4, 64, 0)))
        assert np.array_equal(lane.finish(), batch(4, 64, 0) * np.float32(0.5))


def test_memory_is_that_of_the_largest_shape(gpu: Machine) -> None:
    with lane_on(gpu, (1, 4)) as lane:
        lane.start(pending(batch(4, 64, 0)))
        lane.finish()
        known = len(gpu.device.allocations)
        for count, side in [(1, 16), (4, 32), (2, 64), (4, 64)]:
            lane.start(pending(batch(count, side, count)))
            assert np.array_equal(lane.finish(), batch(count, side, count) * np.float32(0.5))
        assert len(gpu.device.allocations) == known


@pytest.mark.parametrize("captures", [True, False])
def test_the_devices_time_is_told_part_by_part(gpu: Machine, captures: bool) -> None:
    with lane_on(gpu, (1, 4)) as lane:
        lane._captures = captures
        given = batch(4, 64, 0)
        streams = len(gpu.device.streams)
        found = lane.device_time(pending(given), 3)
        assert found.clock == "events"
        assert min(found.compute, found.copies) > 0
        assert gpu.device.replays == (3 if captures else 0)
        assert len(gpu.device.streams) == streams
        assert gpu.device.events == []
        lane.start(pending(given))
        assert np.array_equal(lane.finish(), given * np.float32(0.5))
