"""Metrics on the device are those of `nafnet.metrics`, in strips or not, in any layout of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nafnet.metrics import PROTOCOLS
from nafnet.train.run import scores
from nafnet.train.run.scores import measured


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shape", [(11, 11), (24, 32), (97, 61)])
@pytest.mark.parametrize("pixels", [64, 1000, 1 << 20])
def test_they_are_the_metrics_of_the_project(
    protocol: str, shape: tuple[int, int], pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_PIXELS", {"cpu": pixels})
    generator = np.random.default_rng(0)
    clean = generator.random((*shape, 3), dtype=np.float32)
    restored = clean + generator.normal(0, 0.1, clean.shape).astype(np.float32)  # past 0 and 1 as well
    given = torch.from_numpy(restored).permute(2, 0, 1)
    target = torch.from_numpy(clean).permute(2, 0, 1).contiguous()
    assert measured(given, target, protocol) == pytest.approx(PROTOCOLS[protocol](restored, clean), abs=1e-9)


def test_equal_images_and_images_that_cannot_be_compared() -> None:
    image = torch.rand(3, 16, 16)
    assert measured(image, image, "plain") == (float("inf"), pytest.approx(1.0))
    with pytest.raises(ValueError, match="differ in shape"):
        measured(image, image[:, 1:], "plain")
    with pytest.raises(ValueError, match="at least 11 x 11"):
        measured(image[:, :8], image[:, :8], "plain")
