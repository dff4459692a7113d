"""What it means to give what PyTorch gives: the gate of each precision, and the results that a spec carries.

A result is a claim about one executor (a library in one version, on a processor with certain instructions), and about
the bytes of one graph, see `ModelSpec.graph_sha256`. The standard library alone is needed here.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from nafnet.errors import SpecError
from nafnet.fieldtypes import check_types, known_fields

Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""What an artefact is in."""
Arithmetic = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
"""What is computed in: a precision, or TF32, in which a GPU may multiply what is stored in fp32."""
MAX_TRUTH_LOSS = 0.1
"""What int8 may lose against ground truth, in dB."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What a precision must reach; None where a figure is reported and not judged."""

    psnr: float
    """In dB, peak 1.0."""
    max_abs: float | None = None
    """The largest absolute difference, in units of the [0, 1] range."""
    p999: float | None = None
    """The 99.9th percentile of the absolute differences."""
    steps: float | None = None
    """Of a uint8 result: the share of its values that may be one step off; none may be more. None: not judged."""

    def refusal(self, psnr: float, max_abs: float, p999: float | None) -> str | None:
        """Why these figures are refused, if they are; what is no number is."""
        if not psnr >= self.psnr:
            return f"{psnr:.1f} dB, below {self.psnr:g}"
        if self.max_abs is not None and not max_abs <= self.max_abs:
            return f"largest difference {max_abs:.1e}, above {self.max_abs:.1e}"
        if self.p999 is not None and p999 is not None and not p999 <= self.p999:
            return f"99.9th percentile {p999:.1e}, above {self.p999:.1e}"
        return None


_TEN_BITS = Gate(psnr=60.0, max_abs=1 / 255, p999=0.5 / 255, steps=0.25)
"""Of a mantissa of 10 bits: what each factor is rounded to in fp16 and in TF32 alike. TF32 adds up in fp32 and has the
range of fp32, so it should stay well within."""
GATES: dict[Arithmetic, Gate] = {
    "fp32": Gate(psnr=90.0, max_abs=1e-4, steps=0.01),
    "tf32": _TEN_BITS,
    "fp16": _TEN_BITS,
    "bf16": Gate(psnr=45.0),
    "int8": Gate(psnr=40.0),
}


def coarser(one: Precision, other: Precision) -> Precision:
    """Of two precisions the one whose gate asks for less."""
    return min(one, other, key=lambda precision: GATES[precision].psnr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutorParity:
    """What one executor gave."""

    name: str
    """Of a backend, such as openvino; or "fp16 storage", where a graph runs as a device would store its values."""
    version: str
    """Of its library."""
    precision: Precision
    """Whose gate it was judged by: what it computes in."""
    psnr: float
    max_abs: float
    p999: float
    cases: int
    passed: bool
    features: tuple[str, ...] = ()
    """The instructions of the processor that decide which kernels a library takes, such as avx512_vnni."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))

    def __str__(self) -> str:
        on = f" ({', '.join(self.features)})" if self.features else ""
        figures = f"{self.psnr:.1f} dB or more, largest difference {self.max_abs:.1e}"
        return f"{self.name} {self.version}{on}: {'passed' if self.passed else 'refused'}, {figures}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """The result of comparing an artefact with the untouched PyTorch module in fp32 (peak 1.0, unclipped)."""

    psnr: float
    """The lowest PSNR of any case, in dB."""
    max_abs: float
    """The largest absolute difference of any case, in units of the [0, 1] range."""
    cases: int
    """How many comparisons there were."""
    passed: bool
    """Whether the gate for the artefact's precision accepted it."""
    p999: float | None = None
    """The largest 99.9th percentile of the absolute differences of any case."""
    worst: str | None = None
    """The case with the lowest PSNR."""
    executors: tuple[ExecutorParity, ...] = ()
    """What ran the artefact for the comparison, and what each gave. The figures above are of those that compute in the
    artefact's own precision."""
    truth_loss: float | None = None
    """What int8 loses against ground truth, in dB; None: not measured."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "executors", tuple(self.executors))

    @property
    def ran_on(self) -> tuple[str, ...]:
        """The names of the executors."""
        return tuple(each.name for each in self.executors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What PyTorch in fp32 makes of the small picture of `kept_tile`, for a check wherever the artefact is loaded."""

    side: int
    """H and W of the picture."""
    values: str
    """float32, little endian, as base64: every channel at the places of `kept_tile`."""


def parity_of(**fields: Any) -> Parity:
    """From the fields that JSON has of it, its executors objects among them; those of a later version are passed over.

    Raises:
        SpecError, TypeError: a field has another type, or one is missing.
    """
    executors = [ExecutorParity(**known_fields(ExecutorParity, each)) for each in fields.pop("executors", ())]
    for each in executors:
        check_types(each, "parity.executors.")
    return Parity(**fields, executors=tuple(executors))


def refuse_contradictions(parity: Parity | None, verified: bool | None, precision: Precision) -> None:
    """Raise SpecError where a claim is at odds with the figures beside it, or with itself."""
    if verified and parity is None:
        raise SpecError("spec: verified, and no parity; expected the result of a comparison: export it anew")
    if parity is None:
        return
    results: list[tuple[Parity | ExecutorParity, Precision]] = [(parity, precision)]
    results += [(each, each.precision) for each in parity.executors]
    for result, judged in results:
        figures = (result.psnr, result.max_abs, result.p999 or 0.0, parity.truth_loss or 0.0)
        if not all(map(math.isfinite, figures)) or result.max_abs < 0 or result.cases < 0:
            raise SpecError(f"spec: parity says {figures}; expected finite numbers: export it anew")
        if result.passed and (reason := GATES[judged].refusal(result.psnr, result.max_abs, result.p999)):
            raise SpecError(f"spec: parity passed with {reason}; one of the two is not true: export it anew")
    against = [each.name for each in parity.executors if not each.passed and each.precision == precision]
    if parity.passed and (against or not parity.cases):
        what = f"refused on {', '.join(against)}" if against else "no comparison"
        raise SpecError(f"spec: parity passed, with {what}; one of the two is not true: export it anew")
    if parity.passed and parity.truth_loss is not None and parity.truth_loss > MAX_TRUTH_LOSS:
        raise SpecError(f"spec: parity passed with {parity.truth_loss:g} dB lost; one of the two is not true")
    if verified is not None and verified != parity.passed:
        raise SpecError(
            f"spec: verified is {verified}, and parity passed is {parity.passed}; expected one answer: export it anew"
        )
