"""What a batch takes on the device itself, apart from the host: the one thing that a bench asks of a backend beyond its
verb. Optional: a backend of a device that can tell is a `TimedBackend`, and its lanes are `TimedLane`s."""

from __future__ import annotations

import abc
import dataclasses
from typing import Literal

from nafnet.runtime.backends.lanes import Lane, LaneBackend
from nafnet.runtime.backends.pending import Pending
from nafnet.wire import Batch

Parts = tuple[float, float, float]
"""Seconds of a batch's way: to the device, computed, and back."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceTime:
    """Seconds of one batch, the fastest of several."""

    compute: float
    copies: float
    """To the device and back."""
    clock: Literal["events", "host"]
    """The device's own, or the host's around calls that wait for the device and so take longer than it does."""

    @classmethod
    def of(cls, parts: list[Parts], clock: Literal["events", "host"]) -> DeviceTime:
        """Of the parts of several batches."""
        there, compute, back = (min(part) for part in zip(*parts, strict=True))
        return cls(compute=compute, copies=there + back, clock=clock)


class TimedLane(Lane):
    """A lane that can say what the device takes."""

    @abc.abstractmethod
    def device_time(self, pending: Pending, rounds: int) -> DeviceTime:
        """Run a batch `rounds` times, one after the other and by a graph where there is one; nothing else
        may be under way."""


class TimedBackend(LaneBackend):
    """A backend whose lanes can."""

    def device_time(self, batch: Batch, rounds: int) -> DeviceTime:
        """What float32[N,C,H,W] takes on the device.

        Raises:
            NafnetError: as of a call.
        """
        pending = Pending.of(batch, self.model.spec.io)
        self.check_given(pending)
        lane = self._open_lanes()[0]
        assert isinstance(lane, TimedLane)
        with self.translated():
            return lane.device_time(pending, rounds)
