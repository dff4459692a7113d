"""What an export loses against ground truth, the clean pictures, beside what it loses against PyTorch.

A quantised network may be 45 dB from the fp32 one and restore just as well, or not. So int8 is judged by both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nafnet.difference import MAX_REPORTED_PSNR
from nafnet.metrics import psnr
from nafnet.parity import MAX_TRUTH_LOSS
from nafnet.wire import Batch

Planes = NDArray[np.float32]
Run = Callable[[Batch], Batch]
Pairs = Sequence[tuple[Batch, Batch]]
"""What to restore and what it should become, each float32[1,C,H,W]."""
NOISE = 25 / 255


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruthLoss:
    """Mean PSNR to the clean pictures, in dB."""

    pictures: int
    reference_psnr: float
    """Of PyTorch fp32."""
    psnr: float
    """Of the export."""

    @property
    def loss(self) -> float:
        """In dB; negative where the export happens to be better."""
        return self.reference_psnr - self.psnr

    @property
    def refused(self) -> str | None:
        """Why the gate refuses it, if it does."""
        return (
            f"{self.loss:.3f} dB lost against ground truth, above {MAX_TRUTH_LOSS}"
            if not self.loss <= MAX_TRUTH_LOSS
            else None
        )


def pairs(task: str, degraded: Sequence[Planes], clean: Sequence[Planes]) -> Pairs:
    """What to restore and what it should become, each float32[1,C,H,W].

    Where there is no degraded picture of each clean one and the task is to denoise, noise of sigma 25 makes it. For
    another task there is then no ground truth, and the list is empty.
    """
    if not degraded and task == "denoise":
        rng = np.random.default_rng(0)
        return [((part + rng.normal(0, NOISE, part.shape)).astype(np.float32)[None], part[None]) for part in clean]
    if not degraded:
        return []
    return [(have[None], want[None]) for have, want in zip(degraded, clean, strict=True)]


def measure_loss(reference: Run, export: Run, found: Pairs) -> TruthLoss | None:
    """Restore every picture with both; None where there is none. Outputs are clipped to [0, 1], as files are."""
    if not found:
        return None

    def mean(run: Run) -> float:
        restored = [np.clip(run(have), 0, 1) for have, _ in found]
        if not all(np.isfinite(part).all() for part in restored):
            return 0.0  # as bad as can be, and a number that JSON can say
        values = [psnr(part, want, peak=1.0) for part, (_, want) in zip(restored, found, strict=True)]
        return float(np.mean(np.minimum(values, MAX_REPORTED_PSNR)))  # equal pictures are infinitely good

    return TruthLoss(pictures=len(found), reference_psnr=mean(reference), psnr=mean(export))
