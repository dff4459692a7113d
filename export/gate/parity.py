"""The parity gate: how far an export may be from the untouched PyTorch module in fp32.

Outputs are compared unclipped, with peak 1.0, in the [0, 1] range of the image contract. Where the artefact's border
is uint8 or float16, what rounding to it must cost is taken off first, so the same gate holds for every border.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from nafnet.errors import ParityError
from nafnet.spec import Parity, Precision, WireType
from nafnet.wire import Batch, wire_rounding

MAX_REPORTED_PSNR = 200.0  # equal outputs are infinitely good, which JSON cannot say


UNMEASURABLE = 1e30  # infinity, which JSON cannot say either


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What a precision must reach; None where a figure is reported and not judged."""

    psnr: float
    max_abs: float | None = None
    p999: float | None = None
    """The 99.9th percentile of the absolute differences."""


GATES: dict[Precision, Gate] = {
    "fp32": Gate(psnr=90.0, max_abs=1e-4),
    "fp16": Gate(psnr=60.0, max_abs=1 / 255, p999=0.5 / 255),
    "bf16": Gate(psnr=45.0),
    "int8": Gate(psnr=40.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One input, one executor."""

    case: str
    ran_on: str
    shape: tuple[int, ...]
    psnr: float
    max_abs: float
    p999: float
    refused: str | None
    """Why the gate refuses it, if it does."""


def compare(
    case: str, ran_on: str, given: Batch, expected: Batch, precision: Precision, wire: WireType = "float32"
) -> Row:
    """Judge what an artefact gave against what PyTorch gave, both float32[N,C,H,W]."""
    gate, shape = GATES[precision], tuple(expected.shape)
    hopeless = Row(
        case=case, ran_on=ran_on, shape=shape, psnr=0.0, max_abs=UNMEASURABLE, p999=UNMEASURABLE, refused=None
    )
    if given.shape != expected.shape:
        return dataclasses.replace(hopeless, refused=f"gives {list(given.shape)} for {list(expected.shape)}")
    if not np.isfinite(expected).all():
        return dataclasses.replace(hopeless, refused="PyTorch itself gives values that are not finite")
    if not np.isfinite(given).all():
        share = 1 - float(np.isfinite(given).mean())
        return dataclasses.replace(hopeless, refused=f"{share:.0%} of the values are not finite")
    if wire == "uint8":
        expected = np.clip(expected, 0, 1)
    error = np.abs(given.astype(np.float64) - expected)
    error = np.maximum(error - wire_rounding(expected, wire), 0)
    mean = float(np.mean(error**2))
    row = Row(
        case=case, ran_on=ran_on, shape=shape,
        psnr=round(min(-10 * float(np.log10(mean)), MAX_REPORTED_PSNR), 2) if mean else MAX_REPORTED_PSNR,
        max_abs=float(error.max()), p999=float(np.quantile(error, 0.999)), refused=None,
    )  # fmt: skip
    return dataclasses.replace(row, refused=_judge(row, gate))


def _judge(row: Row, gate: Gate) -> str | None:
    if row.psnr < gate.psnr:
        return f"{row.psnr:.1f} dB, below {gate.psnr:g}"
    if gate.max_abs is not None and row.max_abs > gate.max_abs:
        return f"largest difference {row.max_abs:.1e}, above {gate.max_abs:.1e}"
    if gate.p999 is not None and row.p999 > gate.p999:
        return f"99.9th percentile {row.p999:.1e}, above {gate.p999:.1e}"
    return None


def worst(rows: Sequence[Row]) -> Row:
    """The row to look at first: a refused one where there is one, then the lowest PSNR."""
    return min(rows, key=lambda row: (row.refused is None, row.psnr))


def summarise(rows: Sequence[Row], passed: bool) -> Parity:
    """All rows as the result that travels in a spec."""
    return Parity(
        psnr=min(row.psnr for row in rows),
        max_abs=max(row.max_abs for row in rows),
        p999=max(row.p999 for row in rows),
        cases=len(rows),
        passed=passed,
        worst=worst(rows).case,
        ran_on=tuple(dict.fromkeys(row.ran_on for row in rows)),
    )


def refusal(rows: Sequence[Row], precision: Precision) -> ParityError:
    """The error for rows of which one was refused."""
    bad, count = worst(rows), sum(row.refused is not None for row in rows)
    return ParityError(
        f"parity refused: {count} of {len(rows)} comparisons differ from PyTorch by more than {precision} may; "
        f"worst '{bad.case}' on {bad.ran_on}: {bad.refused}"
    )
