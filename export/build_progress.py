"""A build that reports its steps and can be stopped: TensorRT's progress monitor, and Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Stop = threading.Event
OnStep = Callable[[str, int, int], None]
"""Phase, steps done, steps in all."""
_Result = TypeVar("_Result")
_POLL_SECONDS = 0.1


def make_monitor(trt: Any, on_step: OnStep, stop: Stop) -> Any:
    """A monitor of the module's own kind that passes steps on, and ends the build once `stop` is set."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._sizes: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002 - theirs
            self._sizes[phase_name] = num_steps
            on_step(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_step(phase_name, step + 1, self._sizes.get(phase_name, step + 1))
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            size = self._sizes.pop(phase_name, 1)
            on_step(phase_name, size, size)

    return Monitor()


def run_stoppable(work: Callable[[], _Result], stop: Stop) -> _Result:
    """Run `work` in a thread, so that Ctrl-C reaches this one at once; `work` must end soon after `stop` is set.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after `work` has ended.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=guarded, name="engine build")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
    except KeyboardInterrupt:
        stop.set()
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
