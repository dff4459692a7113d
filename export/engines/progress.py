"""A build that reports its steps and can be stopped: TensorRT's progress monitor, and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from nafnet.steps import OnStep

Stop = threading.Event


def make_monitor(trt: Any, on_step: OnStep, stop: Stop) -> Any:
    """A monitor of the module's own kind that passes steps on, and ends the build once `stop` is set."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._sizes: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002, TensorRT's signature
            self._sizes[phase_name] = num_steps
            on_step(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_step(phase_name, step + 1, self._sizes.get(phase_name, step + 1))
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            size = self._sizes.pop(phase_name, 1)
            on_step(phase_name, size, size)

    return Monitor()


@contextlib.contextmanager
def interruptible() -> Iterator[Stop]:
    """Within the block, Ctrl-C sets the event that is yielded; KeyboardInterrupt is raised when the block has ended.

    An exception that Python raises in the midst of one of the library's callbacks is swallowed by it, or ends the
    process where the callback comes from a destructor. So none is raised while the library is at work.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals go to the main thread, and only it can say what they do
        return
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    except Exception:  # a build that was told to stop may raise anything: KeyboardInterrupt below takes its place
        if not stop.is_set():
            raise
    finally:
        signal.signal(signal.SIGINT, previous)
    if stop.is_set():
        raise KeyboardInterrupt
