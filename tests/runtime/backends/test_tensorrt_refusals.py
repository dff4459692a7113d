"""What TensorRT says as it refuses is told, and want of memory is told from the rest."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from nafnet.enginelog import MOST_KEPT, log_of, reason
from nafnet.errors import BackendError, DeviceMemoryError, EngineError, NafnetError
from nafnet.export.engines.runner import EngineRunner
from tests.gpu_stand_in.machine import Machine
from tests.gpu_stand_in.plan import Header, pack
from tests.runtime.backends.test_cuda_code import batch, halving, lane_on, pending

MEMORY = "[executionContext.cpp] Error Code 2: OutOfMemory\n (Requested size was 123 bytes.)"
OTHER = "[convolutionRunner.cpp] Error Code 1: Cask (Cask convolution execution)"
KERNEL = "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (no kernel image is available)"


def plan_of(gpu: Machine) -> bytes:
    profile = [(1, 3, 16, 16), (1, 3, 16, 16), (4, 3, 64, 64)]
    return pack(
        Header(library="tensorrt", version=gpu.trt.__version__, device=gpu.device.name, profile=profile), halving()
    )


@pytest.mark.parametrize(
    ("log", "kind", "said"),
    [
        ([OTHER, KERNEL], BackendError, f"({OTHER}; {KERNEL})"),
        ([MEMORY, KERNEL], DeviceMemoryError, "OutOfMemory (Requested size was 123 bytes.); IExecutionContext"),
        ([MEMORY, OTHER, KERNEL, "a", "b"], DeviceMemoryError, f"({KERNEL}; a; b)"),
    ],
)
def test_an_enqueue_that_is_refused(log: list[str], kind: type[NafnetError], said: str, gpu: Machine) -> None:
    with lane_on(gpu, (1, 4)) as lane:
        gpu.device.refuses_enqueue = log
        with pytest.raises(BackendError) as caught:
            lane.start(pending(batch(2, 32, 0)))
        assert type(caught.value) is kind
        assert str(caught.value).startswith("TensorRT could not run a batch of shape [2, 3, 32, 32] (")
        assert said in str(caught.value)
        gpu.device.refuses_enqueue = []
        for seed in range(3):
            lane.start(pending(batch(2, 32, seed)))
            assert np.array_equal(lane.finish(), batch(2, 32, seed) * np.float32(0.5)), "it goes on"


@pytest.mark.parametrize(
    ("log", "kind", "said"),
    [
        ([], DeviceMemoryError, "it gives no reason"),
        ([MEMORY], DeviceMemoryError, "OutOfMemory (Requested size"),
        ([OTHER], BackendError, OTHER),
    ],
)
def test_a_context_that_is_not_made(log: list[str], kind: type[NafnetError], said: str, gpu: Machine) -> None:
    gpu.device.refuses_context = log
    with pytest.raises(BackendError) as caught, lane_on(gpu, (1, 4)):
        pass
    assert type(caught.value) is kind
    assert said in str(caught.value)
    with pytest.raises(EngineError) as refused:
        EngineRunner(gpu.trt, plan_of(gpu), "float32")
    assert said in str(refused.value)
    assert ("memory does not suffice" in str(refused.value)) == (kind is DeviceMemoryError)


def test_the_gates_runner_tells_what_was_said(gpu: Machine) -> None:
    run = EngineRunner(gpu.trt, plan_of(gpu), "float32")
    gpu.device.refuses_enqueue = [KERNEL]
    with pytest.raises(EngineError, match=r"failed on a batch of shape \[1, 3, 16, 16\] \(IExecution.*no kernel image"):
        run(batch(1, 16, 0))
    run.close()
    with pytest.raises(EngineError, match=r"cannot load on this GPU \(IRuntime::deserializeCudaEngine.*not a plan\)"):
        EngineRunner(gpu.trt, b"no plan", "float32")


def test_what_another_thread_is_told_is_not_told_here(gpu: Machine) -> None:
    log = log_of(gpu.trt)
    with log.errors_within() as errors, log.errors_within() as inner:
        other = threading.Thread(target=lambda: log.logger.log(gpu.trt.Logger.ERROR, MEMORY))
        other.start()
        other.join()
        assert reason(errors) == "it gives no reason"
        log.logger.log(gpu.trt.Logger.ERROR, KERNEL)
    assert list(errors) == list(inner) == [KERNEL]
    log.logger.log(gpu.trt.Logger.ERROR, "later")
    assert list(errors) == [KERNEL]
    assert log.last_error() == "later"


def test_what_is_kept_of_a_log_has_an_end(gpu: Machine) -> None:
    log = log_of(gpu.trt)
    with log.errors_within() as errors:
        for number in range(MOST_KEPT + 9):
            log.logger.log(gpu.trt.Logger.ERROR, f"error {number}")
            log.logger.log(gpu.trt.Logger.WARNING, f"warning {number}")
    assert len(log.errors) == len(log.warnings) == len(errors) == MOST_KEPT
    assert log.last_error() == f"error {MOST_KEPT + 8}"
