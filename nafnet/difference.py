"""How far a result is from the one that is expected, and whether the gate of a precision accepts that.

Outputs are compared unclipped, with peak 1.0, in the [0, 1] range of the image contract. Where the artefact's border
is uint8 or float16, what rounding to it must cost is taken off first, so the same gate holds for every border.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.parity import GATES, Arithmetic
from nafnet.spec import WireType
from nafnet.wire import wire_rounding

MAX_REPORTED_PSNR = 200.0  # equal outputs are infinitely good, which JSON cannot say
UNMEASURABLE = 1e30  # infinity, which JSON cannot say either


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Figures of one comparison."""

    psnr: float = 0.0
    max_abs: float = UNMEASURABLE
    p999: float = UNMEASURABLE
    refused: str | None
    """Why the gate refuses it, if it does."""


def difference(
    given: NDArray[np.float32], expected: NDArray[np.float32], precision: Arithmetic, wire: WireType = "float32"
) -> Difference:
    """Judge what an artefact gave against what PyTorch gave.

    Args:
        given: float32 of any shape, in units of [0, 1].
        expected: of the same shape. NaN where PyTorch gives NaN, for an input that has one: there, and nowhere else,
            NaN is what must be given.
        precision: whose gate it is to pass.
        wire: what crossed the artefact's border.
    """
    if given.shape != expected.shape:
        return Difference(refused=f"gives {list(given.shape)} for {list(expected.shape)}")
    if np.isinf(expected).any():
        return Difference(refused="PyTorch itself gives values that are not finite")
    lost = np.isnan(expected)
    if not np.isnan(given[lost]).all():
        share = float(np.isfinite(given[lost]).mean())
        return Difference(refused=f"{share:.0%} of what PyTorch gives as not a number are numbers")
    given, expected = given[~lost], expected[~lost]
    if not np.isfinite(given).all():
        return Difference(refused=f"{1 - float(np.isfinite(given).mean()):.0%} of the values are not finite")
    if not given.size:
        return Difference(psnr=MAX_REPORTED_PSNR, max_abs=0.0, p999=0.0, refused=None)
    if wire == "uint8":
        expected = np.clip(expected, 0, 1)
    error = np.abs(given.astype(np.float64) - expected)
    error = np.maximum(error - wire_rounding(expected, wire), 0)
    mean = float(np.mean(error**2))
    psnr = round(min(-10 * float(np.log10(mean)), MAX_REPORTED_PSNR), 2) if mean else MAX_REPORTED_PSNR
    figures = (psnr, float(error.max()), float(np.quantile(error, 0.999)))
    reason = GATES[precision].refusal(*figures)
    if reason is None and wire == "uint8":
        reason = _rounding_refusal(given, expected, precision)
    return Difference(psnr=figures[0], max_abs=figures[1], p999=figures[2], refused=reason)


def _rounding_refusal(given: NDArray[np.float32], expected: NDArray[Any], precision: Arithmetic) -> str | None:
    """What is wrong with how a uint8 result was rounded, if anything.

    What lies so near the middle between two steps that the precision's own error decides is left out: of a flat picture
    that may be all. In bf16 and int8 nothing would be left, and their errors have a mean of their own.
    """
    gate = GATES[precision]
    if gate.steps is None:
        return None
    exact = expected.astype(np.float64) * 255
    off = np.rint(given.astype(np.float64) * 255) - np.rint(exact)
    if np.abs(off).max() > 1:
        return f"{np.abs(off).max():.0f} steps of 8 bits off, more than one"
    certain = off[np.abs(exact - np.floor(exact) - 0.5) > 255 * 10 ** (-gate.psnr / 20)]
    if not certain.size:
        return None
    if (share := float(np.mean(certain != 0))) > gate.steps:
        return f"{share:.1%} of the values are a step of 8 bits off, above {gate.steps:.0%}"
    return None
