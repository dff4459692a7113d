"""The device itself: memory, streams, captures and graphs, and the rules of their use."""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn

NUMBERS = itertools.count(0x1000)
"""Of streams: those of two devices have none in common."""
POISON = 0xFF  # as float32 and float16 not a number
MEMORY = "Memory Management"
Mode = Literal["global", "thread-local", "relaxed"]


class RuleBroken(AssertionError):  # noqa: N818, the rule is what it is about
    """A library's rule was not kept."""


@dataclasses.dataclass(eq=False)
class Allocation:
    """Bytes that the device, or the device and the host, can reach."""

    address: int
    nbytes: int
    kind: Literal["device", "pinned"]
    owner: Any
    """What keeps the bytes alive; they stay so after they are freed, so that no other gets their address."""
    foreign: bool = False
    """Whether somebody else allocated it, and frees it."""
    freed: bool = False


@dataclasses.dataclass(frozen=True)
class Work:
    """A piece of work in a queue."""

    do: Callable[[], None]
    uses: tuple[Allocation, ...]
    still_valid: Callable[[], str | None] = lambda: None
    """Why it may not be done any more, in words."""
    context: int | None = None
    """The identity of TensorRT's execution context that does it."""


@dataclasses.dataclass(eq=False)
class Stream:
    """A queue."""

    number: int
    queue: list[Work] = dataclasses.field(default_factory=list)
    capture: list[Work] | None = None
    mode: Mode = "global"
    thread: int = 0
    invalidated: bool = False

    def __int__(self) -> int:
        return self.number


class Device:
    """One GPU.

    Args:
        name: as its driver tells it.
        capability: (major, minor).
        memory: bytes.
    """

    def __init__(
        self, name: str = "NVIDIA H100 80GB HBM3", capability: tuple[int, int] = (9, 0), memory: int = 1 << 32
    ) -> None:
        self.name, self.capability, self.left = name, capability, memory
        self.broken: list[str] = []
        self.allocations: dict[int, Allocation] = {}
        self.streams: dict[int, Stream] = {}
        self.numbers = NUMBERS
        self.events: list[Any] = []
        """Of CUDA's runtime, that live."""
        self.torch_events: list[Any] = []
        """Recorded by torch, and not awaited yet."""
        self.replays = 0
        self.compilations = 0
        self.refuses_capture = False
        """Whether a library inside makes a call that no capture allows."""
        self.refuses_enqueue: list[str] = []
        """What TensorRT logs as it refuses each enqueue; one that refuses queues nothing."""
        self.refuses_context: list[str] | None = None
        """What it logs as it makes no context, maybe nothing; None where it makes one."""
        self.refuses_cache: Literal["create", "set", "serialize"] | None = None
        """At which call TensorRT-RTX's cache of kernels is refused."""
        self.lock = threading.RLock()

    def broke(self, rule: str, document: str) -> NoReturn:
        """Fail, now and when the test ends: somebody may catch the error."""
        self.broken.append(f"{rule} [{document}]")
        raise RuleBroken(self.broken[-1])

    @property
    def held(self) -> list[Allocation]:
        """What was not given back."""
        return [each for each in self.allocations.values() if not (each.freed or each.foreign)]

    def allocate(self, nbytes: int, kind: Literal["device", "pinned"]) -> Allocation | None:
        """None where the memory does not suffice."""
        if kind == "device" and nbytes > self.left:
            return None
        buffer = ctypes.create_string_buffer(bytes([POISON]) * nbytes, nbytes)
        self.left -= nbytes if kind == "device" else 0
        made = Allocation(ctypes.addressof(buffer), nbytes, kind, buffer)
        self.allocations[made.address] = made
        return made

    def adopt(self, address: int, nbytes: int, owner: Any) -> None:
        """Take memory that somebody else has for the device's."""
        self.allocations[address] = Allocation(address, nbytes, "device", owner, foreign=True)

    def free(self, address: int, kind: Literal["device", "pinned"]) -> None:
        """Give it back."""
        found = self.allocations.get(address)
        if found is None or found.freed or found.kind != kind:
            self.broke(
                f"{address:#x} is no {kind} memory that could be freed on the thread's current device",
                "CUDA Runtime API, Memory Management",
            )
        if any(found in work.uses for stream in self.streams.values() for work in stream.queue):
            self.broke(
                f"{kind} memory was freed while work that uses it is in flight", "CUDA Runtime API, Memory Management"
            )
        found.freed = True
        self.left += found.nbytes if kind == "device" else 0
        ctypes.memset(found.address, POISON, found.nbytes)

    def resolve(self, address: int, nbytes: int, kind: Literal["device", "pinned"], why: str) -> Allocation:
        """The allocation that these bytes lie in."""
        for found in self.allocations.values():
            if found.address <= address and address + nbytes <= found.address + found.nbytes and not found.freed:
                if found.kind != kind:
                    break
                return found
        if kind == "pinned":
            rule, document = "the host's memory is not pinned, so no copy of it is asynchronous", "API synchronization"
        else:
            rule, document = f"no {nbytes} bytes of live device memory there, on the thread's current device", MEMORY
        return self.broke(f"{why}: {rule}", f"CUDA Runtime API, {document}")

    def stream(self, handle: Any) -> Stream:
        """By its handle."""
        found = self.streams.get(int(handle))
        if found is None:
            self.broke(
                f"{handle} is no stream of the thread's current device",
                "CUDA Programming Guide, Multi-Device System, Stream and Event Behavior",
            )
        return found

    def unsafe(self, name: str) -> None:
        """A call that may wait for the device: not while this thread captures, nor another one in global mode."""
        me = threading.get_ident()
        for stream in self.streams.values():
            if stream.capture is None or stream.mode == "relaxed":
                continue
            if stream.thread == me or stream.mode == "global":
                stream.invalidated = True
                self.broke(
                    f"{name} while a stream captures in {stream.mode} mode",
                    "CUDA Runtime API, cudaThreadExchangeStreamCaptureMode",
                )

    def queue(self, stream: Stream, work: Work) -> None:
        """Queue, or record."""
        if any(self.allocations.get(each.address) is not each for each in work.uses):
            self.broke(
                "work uses memory of another device than its stream's", "CUDA Programming Guide, Device Selection"
            )
        if stream.capture is not None:
            stream.capture.append(work)
            return
        if work.context is not None:
            self._refuse_second_stream(stream, work)
        stream.queue.append(work)

    def _refuse_second_stream(self, stream: Stream, work: Work) -> None:
        for other in self.streams.values():
            if other is not stream and any(each.context == work.context for each in other.queue):
                self.broke(
                    "an execution context is used on two streams at once",
                    "TensorRT Developer Guide, Threading and IExecutionContext::enqueueV3",
                )

    def drain(self, stream: Stream) -> None:
        """Do what was queued."""
        while stream.queue:
            work = stream.queue.pop(0)
            self._refuse_stale([work], "queued work")
            work.do()

    def launch(self, graph: Iterable[Work], stream: Stream) -> None:
        """Queue what was recorded."""
        recorded = list(graph)
        self._refuse_stale(recorded, "a graph is replayed")
        self.replays += 1
        for work in recorded:
            self.queue(stream, work)

    def _refuse_stale(self, works: list[Work], what: str) -> None:
        for work in works:
            if any(each.freed for each in work.uses):
                self.broke(f"{what}, and memory that it uses was freed", "CUDA Programming Guide, CUDA Graphs")
            if reason := work.still_valid():
                self.broke(f"{what}, and {reason}", "TensorRT Developer Guide, CUDA Graphs")
