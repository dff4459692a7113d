"""PyTorch's lane as far as it goes without a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nafnet.runtime.backends.pending import Pending
from nafnet.runtime.backends.torch_cuda import TorchLane


def test_a_shape_that_found_no_memory_is_not_taken_for_the_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **further: object) -> torch.Tensor:
        if "device" in further:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(1)

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(torch, "empty", no_memory)
    lane = TorchLane(torch.nn.Identity(), torch.device("cuda:0"))
    for _ in range(2):  # the second time it would go on with a buffer that is not there
        with pytest.raises(torch.OutOfMemoryError):
            lane.start(Pending.of(np.zeros((1, 3, 16, 16), np.float32), "float32"))
