"""PyTorch in fp32, whose answers are kept: several attempts at an export are compared on the same inputs."""

from __future__ import annotations

import hashlib

import torch

from nafnet.architecture import NAFNet
from nafnet.export.network.opened import opened
from nafnet.export.network.scaling import amplifying, residual_peaks, scaled
from nafnet.wire import Batch


class Reference:
    """float32[N,C,H,W] -> float32[N,C,H,W], any H and W, by a network as it was trained.

    Args:
        network: on the CPU, in fp32.
    """

    def __init__(self, network: NAFNet) -> None:
        self.network = network
        self._answers: dict[bytes, Batch] = {}
        self._others: dict[object, Reference] = {}

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Batch:
        """The network's result; of inputs that were seen before, the one of then."""
        key = hashlib.sha256(repr(batch.shape).encode() + batch.tobytes()).digest()
        if key not in self._answers:
            self._answers[key] = self.network(torch.from_numpy(batch)).numpy()
        return self._answers[key]

    def opened(self) -> Reference:
        """Another network of the same architecture, every weight of which matters, see `opened`."""
        if "opened" not in self._others:
            self._others["opened"] = Reference(opened(self.network))
        return self._others["opened"]

    def amplified(self, target: float, batch: Batch) -> tuple[Reference, float]:
        """The same function with a residual stream at the bottleneck of size `target`, as measured on `batch`.

        Returns:
            The network, and the size it reached.
        """
        peaks = residual_peaks(self.network, [batch])
        factors = amplifying(peaks, target)
        if target not in self._others:
            self._others[target] = Reference(scaled(self.network, factors, keep_epsilon=True))
        return self._others[target], factors[-1] * peaks[-1]
