"""The stand-in is hard to fool: each rule that is broken is an error that names it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nafnet.enginelog import log_of
from tests.gpu_stand_in.cuda_runtime import CaptureMode, Code, CudaRuntime, Kind
from tests.gpu_stand_in.device import Device, RuleBroken, Stream
from tests.gpu_stand_in.machine import Machine
from tests.gpu_stand_in.plan import Header, as_tf32, pack
from tests.gpu_stand_in.runtime_config import RuntimeConfig
from tests.gpu_stand_in.tensorrt_runtime import Context
from tests.runtime.backends.test_cuda_code import halving

SIZE = 3 * 16 * 16 * 4


class Bench:
    """A device with a stream and memory of all kinds."""

    def __init__(self, api: CudaRuntime) -> None:
        self.api, self.device = api, api.devices[0]
        self.stream = self.ok(api.cudaStreamCreateWithFlags(1))
        self.pinned = self.ok(api.cudaHostAlloc(SIZE, 0))
        self.one, self.other = (self.ok(api.cudaMalloc(SIZE)) for _ in range(2))

    @staticmethod
    def ok(result: tuple[Any, ...]) -> Any:
        assert result[0] == Code.cudaSuccess
        return result[1]

    def copy_in(self) -> None:
        self.api.cudaMemcpyAsync(self.one, self.pinned, SIZE, Kind.cudaMemcpyHostToDevice, self.stream)


@pytest.fixture
def bench() -> Bench:
    return Bench(CudaRuntime(Device()))


def test_pageable_memory_in_an_async_copy(bench: Bench) -> None:
    pageable = np.zeros(SIZE, np.uint8)
    with pytest.raises(RuleBroken, match=r"not pinned.*CUDA Runtime API"):
        bench.api.cudaMemcpyAsync(bench.one, pageable.ctypes.data, SIZE, Kind.cudaMemcpyHostToDevice, bench.stream)
    assert len(bench.device.broken) == 1, "kept, whoever catches the error"


def test_memory_freed_while_it_is_used(bench: Bench) -> None:
    bench.copy_in()
    with pytest.raises(RuleBroken, match="in flight"):
        bench.api.cudaFree(bench.one)
    bench.api.cudaStreamSynchronize(bench.stream)
    bench.api.cudaFree(bench.one)
    with pytest.raises(RuleBroken, match="no device memory that could be freed"):
        bench.api.cudaFree(bench.one)
    with pytest.raises(RuleBroken, match="no 3072 bytes of live device memory"):
        bench.copy_in()


def test_results_come_when_the_stream_is_awaited(bench: Bench) -> None:
    there = bench.device.allocations[bench.one].owner
    bench.device.allocations[bench.pinned].owner[0] = b"\x07"
    bench.copy_in()
    assert there[0] == b"\xff"
    bench.api.cudaStreamSynchronize(bench.stream)
    assert there[0] == b"\x07"


@pytest.mark.parametrize("mode", list(CaptureMode))
def test_calls_that_may_wait_while_a_stream_captures(mode: CaptureMode, bench: Bench) -> None:
    """cudaThreadExchangeStreamCaptureMode: global forbids them to all threads, thread-local to its own."""

    def breaks() -> bool:
        try:
            bench.api.cudaMalloc(16)
        except RuleBroken:
            return True
        return False

    elsewhere: list[bool] = []
    bench.api.cudaStreamBeginCapture(bench.stream, mode)
    thread = threading.Thread(target=lambda: elsewhere.append(breaks()))
    thread.start()
    thread.join()
    forbidden = elsewhere[0], breaks()
    assert forbidden == {0: (True, True), 1: (False, True), 2: (False, False)}[int(mode)]
    code, graph = bench.api.cudaStreamEndCapture(bench.stream)
    assert (code == Code.cudaErrorStreamCaptureInvalidated) == any(forbidden)
    assert (graph is None) == any(forbidden)


def test_a_stream_that_captures_cannot_be_awaited(bench: Bench) -> None:
    bench.api.cudaStreamBeginCapture(bench.stream, CaptureMode.cudaStreamCaptureModeThreadLocal)
    assert bench.api.cudaStreamSynchronize(bench.stream) == (Code.cudaErrorStreamCaptureUnsupported,)
    assert bench.api.cudaStreamEndCapture(bench.stream)[0] == Code.cudaErrorStreamCaptureInvalidated


def test_a_graph_whose_memory_was_freed(bench: Bench) -> None:
    bench.api.cudaStreamBeginCapture(bench.stream, CaptureMode.cudaStreamCaptureModeThreadLocal)
    bench.copy_in()
    graph = bench.ok(bench.api.cudaGraphInstantiate(bench.ok(bench.api.cudaStreamEndCapture(bench.stream)), 0))
    bench.api.cudaFree(bench.one)
    with pytest.raises(RuleBroken, match="memory that it uses was freed"):
        bench.api.cudaGraphLaunch(graph, bench.stream)


@pytest.fixture
def broken(gpu: Machine) -> Iterator[Machine]:
    """A machine on which rules are broken on purpose."""
    yield gpu
    assert gpu.broken != []
    gpu.device.broken.clear()


def context_on(gpu: Machine, bench: Bench, flavour: str = "tensorrt", config: Any = None) -> Context:
    module = gpu.trt if flavour == "tensorrt" else gpu.rtx
    header = Header(
        library=flavour, version=module.__version__, device=gpu.device.name, targets=("SM90",) * (module is gpu.rtx),
        profile=[(1, 3, 16, 16)] * 3,
    )  # fmt: skip
    engine = module.Runtime(log_of(module).logger).deserialize_cuda_engine(pack(header, halving()))
    made = engine.create_execution_context(config)
    assert not made.set_input_shape("image", (2, 3, 16, 16)), "beyond the profile"
    assert made.set_input_shape("image", (1, 3, 16, 16))
    assert not made.set_tensor_address("picture", bench.one)
    assert made.set_tensor_address("image", bench.one)
    assert made.set_tensor_address("restored", bench.other)
    return made  # type: ignore[no-any-return]


def captured(bench: Bench, context: Context) -> Any:
    bench.api.cudaStreamBeginCapture(bench.stream, CaptureMode.cudaStreamCaptureModeThreadLocal)
    assert context.execute_async_v3(int(bench.stream))
    return bench.ok(bench.api.cudaGraphInstantiate(bench.ok(bench.api.cudaStreamEndCapture(bench.stream)), 0))


def test_a_capture_before_the_first_enqueue(broken: Machine) -> None:
    bench = Bench(broken.api)
    with pytest.raises(RuleBroken, match="capture before the first enqueue"):
        captured(bench, context_on(broken, bench))


def test_a_graph_of_other_addresses(broken: Machine) -> None:
    bench = Bench(broken.api)
    context = context_on(broken, bench)
    context.execute_async_v3(int(bench.stream))
    bench.api.cudaStreamSynchronize(bench.stream)
    graph = captured(bench, context)
    bench.api.cudaGraphLaunch(graph, bench.stream)
    bench.api.cudaStreamSynchronize(bench.stream)
    context.set_tensor_address("image", bench.other)
    with pytest.raises(RuleBroken, match="another shape or other addresses"):
        bench.api.cudaGraphLaunch(graph, bench.stream)


def test_a_context_on_two_streams(broken: Machine) -> None:
    bench = Bench(broken.api)
    context = context_on(broken, bench)
    context.execute_async_v3(int(bench.stream))
    second: Stream = bench.ok(bench.api.cudaStreamCreateWithFlags(1))
    with pytest.raises(RuleBroken, match="two streams at once"):
        context.execute_async_v3(int(second))
    bench.api.cudaStreamSynchronize(bench.stream)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_context_that_is_gone_while_it_works(broken: Machine) -> None:
    bench = Bench(broken.api)
    context = context_on(broken, bench)
    context.execute_async_v3(int(bench.stream))
    del context
    gc.collect()
    assert "in flight" in broken.broken[-1]
    bench.stream.queue.clear()


def test_a_second_logger(broken: Machine) -> None:
    broken.trt.Runtime(broken.trt.Logger(broken.trt.Logger.ERROR))
    with pytest.raises(RuleBroken, match="second logger"):
        broken.trt.Builder(broken.trt.Logger(broken.trt.Logger.ERROR))


@pytest.mark.parametrize("strategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])
def test_a_capture_of_ours_around_rtx(strategy: str, broken: Machine) -> None:
    bench = Bench(broken.api)
    context = context_on(broken, bench, "tensorrt-rtx")
    context._config.cuda_graph_strategy = getattr(broken.rtx.CudaGraphStrategy, strategy)
    context.execute_async_v3(int(bench.stream))
    bench.api.cudaStreamSynchronize(bench.stream)
    with pytest.raises(RuleBroken, match=r"fallback kernels|captures by itself"):
        captured(bench, context)


def test_tf32_keeps_ten_bits() -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    rounded = as_tf32(values)
    assert not (rounded.view(np.uint32) & 0x1FFF).any()
    assert 0 < np.abs(rounded / values - 1).max() <= 2.0**-11


def test_a_cache_of_kernels_that_is_serialised_too_early(broken: Machine) -> None:
    bench = Bench(broken.api)
    module = broken.rtx
    config = RuntimeConfig(module)
    cache = config.create_runtime_cache()
    assert cache is not None
    config.set_runtime_cache(cache)
    context = context_on(broken, bench, "tensorrt-rtx", config)
    with pytest.raises(RuleBroken, match="while a context compiles into it"):
        cache.serialize()
    del context
    gc.collect()
    assert cache.serialize() is not None


def test_another_device_than_the_threads_current_one(broken: Machine) -> None:
    """Streams, memory and engines are of the device that was current when they were made."""
    bench = Bench(broken.api)
    context = context_on(broken, bench)
    broken.api.cudaSetDevice(1)
    for rule, call in {
        "no stream of the thread's current device": lambda: bench.api.cudaStreamSynchronize(bench.stream),
        "device memory that could be freed on the thread's current": lambda: bench.api.cudaFree(bench.one),
        "not pinned": bench.copy_in,
        "enqueue while another device": lambda: context.execute_async_v3(int(bench.stream)),
        "create_execution_context while another device": context._engine.create_execution_context,
    }.items():
        with pytest.raises(RuleBroken, match=rule):
            call()
    elsewhere: list[Device] = []
    thread = threading.Thread(target=lambda: elsewhere.append(broken.api.current))
    thread.start()
    thread.join()
    assert elsewhere == [broken.device], "another thread has not chosen"
    broken.second.broken.clear()
    other = Bench(broken.api)
    assert int(other.stream) != int(bench.stream)
    assert not broken.second.broken


def event(bench: Bench, flags: int = CudaRuntime.cudaEventDefault) -> Any:
    return bench.ok(bench.api.cudaEventCreateWithFlags(flags))


def test_time_is_between_events_that_are_over(bench: Bench) -> None:
    """Event Management: cudaErrorNotReady before, cudaErrorInvalidResourceHandle without a record or without timing."""
    elapsed, record = bench.api.cudaEventElapsedTime, bench.api.cudaEventRecord
    start, end, untimed = event(bench), event(bench), event(bench, CudaRuntime.cudaEventDisableTiming)
    assert elapsed(start, end)[0] == Code.cudaErrorInvalidResourceHandle
    for each in (start, untimed, end):
        record(each, bench.stream)
        bench.copy_in()
    assert elapsed(start, end)[0] == Code.cudaErrorNotReady
    bench.api.cudaStreamSynchronize(bench.stream)
    assert bench.ok(elapsed(start, end)) > 0, "milliseconds"
    assert elapsed(start, untimed)[0] == Code.cudaErrorInvalidResourceHandle
    record(end, bench.stream)
    assert elapsed(start, end)[0] == Code.cudaErrorNotReady, "the new record is not over"
    bench.api.cudaStreamSynchronize(bench.stream)
    bench.api.cudaEventDestroy(end)
    with pytest.raises(RuleBroken, match="after its end"):
        elapsed(start, end)


def test_an_event_of_a_capture_keeps_no_time(bench: Bench) -> None:
    start, end = event(bench), event(bench)
    bench.api.cudaEventRecord(start, bench.stream)
    bench.api.cudaStreamBeginCapture(bench.stream, CaptureMode.cudaStreamCaptureModeThreadLocal)
    bench.api.cudaEventRecord(end, bench.stream)
    bench.api.cudaStreamEndCapture(bench.stream)
    bench.api.cudaStreamSynchronize(bench.stream)
    assert bench.api.cudaEventElapsedTime(start, end)[0] == Code.cudaErrorCapturedEvent
