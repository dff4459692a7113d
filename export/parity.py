"""The parity gate: an exported model against the untouched PyTorch module, on the same inputs.

Outputs are compared unclipped, with peak 1.0, in the [0, 1] range of the image contract.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.errors import ParityError
from nafnet.metrics import psnr
from nafnet.spec import Parity

Batch = NDArray[np.float32]
MAX_REPORTED_PSNR = 200.0  # equal outputs are infinitely good, which JSON cannot say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What a precision must reach."""

    max_abs: float
    psnr: float


GATES = {"fp32": Gate(max_abs=1e-4, psnr=90.0)}


def test_inputs(channels: int, multiple: int) -> Iterator[tuple[str, Batch]]:
    """Named batches, float32[N,C,H,W] in [0, 1]: pictures and the inputs that are known to break exports.

    Dark, flat images, e.g. (33, 25, 23), make released models blow up when a statistic is off.
    """
    rng = np.random.default_rng(0)
    long, short = max(256 // multiple, 1) * multiple, max(160 // multiple, 1) * multiple
    yield "picture", picture(1, channels, long, short)
    noise = rng.normal(0, 0.1, (3, channels, short, short)).astype(np.float32)
    yield "noisy pictures, batch of 3", np.clip(picture(3, channels, short, short) + noise, 0, 1).astype(np.float32)
    dark = np.resize(np.array([33, 25, 23], np.float32) / 255, channels)[None, :, None, None]
    yield "dark and flat", np.broadcast_to(dark, (1, channels, long, short)).astype(np.float32)
    yield "black", np.zeros((1, channels, short, short), np.float32)
    yield "white", np.ones((1, channels, short, short), np.float32)
    yield "noise", rng.random((1, channels, short, long), np.float32)
    yield "smallest", rng.random((2, channels, multiple, multiple), np.float32)


def picture(batch: int, channels: int, height: int, width: int) -> Batch:
    """Pictures of a fixed seed: fields with the 1/f spectrum of photographs, cut into areas with sharp borders."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = 1
    noise = np.random.default_rng(0).standard_normal((batch, channels + 1, height, width))
    fields = np.fft.irfft2(np.fft.rfft2(noise) / radius, s=(height, width))
    fields /= fields.std((2, 3), keepdims=True)
    areas = np.round(fields[:, -1:])
    return np.clip(0.5 + 0.12 * fields[:, :-1] + 0.15 * areas, 0, 1).astype(np.float32)


def measure(reference: NAFNet, candidate: Callable[[Batch], Batch], precision: str = "fp32") -> Parity:
    """Compare `candidate` with `reference` on every test input.

    Raises:
        ParityError: a difference beyond the gate of `precision`, or a value that is not finite; the message
            names the worst input.
    """
    gate = GATES[precision]
    architecture = reference.architecture
    worst_psnr, worst_abs, cases = MAX_REPORTED_PSNR, 0.0, 0
    for name, batch in test_inputs(architecture.channels, architecture.multiple):
        with torch.inference_mode():
            expected = reference(torch.from_numpy(batch)).numpy()
        given = candidate(batch)
        if not np.isfinite(given).all():
            raise ParityError(f"parity: the exported model gives values that are not finite for '{name}'")
        case_psnr, case_abs = psnr(given, expected, peak=1.0), float(np.abs(given - expected).max())
        if case_abs > gate.max_abs or case_psnr < gate.psnr:
            raise ParityError(
                f"parity: '{name}' is {case_psnr:.1f} dB and {case_abs:.1e} from PyTorch; "
                f"{precision} must reach {gate.psnr:g} dB and {gate.max_abs:g}"
            )
        worst_psnr, worst_abs, cases = min(worst_psnr, case_psnr), max(worst_abs, case_abs), cases + 1
    return Parity(psnr=round(worst_psnr, 2), max_abs=worst_abs, cases=cases, passed=True)
