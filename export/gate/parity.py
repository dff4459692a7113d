"""Rows of the parity gate: one input on one executor, and what all of them come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nafnet.difference import difference
from nafnet.errors import ParityError
from nafnet.export.gate.executors import Executor
from nafnet.parity import Arithmetic, ExecutorParity, Parity, Precision
from nafnet.spec import WireType
from nafnet.wire import Batch


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
    decides: bool = True
    """Whether the artefact is refused with it, see `Executor.decides`."""


def compare(
    case: str, ran_on: str, given: Batch, expected: Batch, precision: Arithmetic, wire: WireType = "float32",
    *, decides: bool = True,
) -> Row:  # fmt: skip
    """Judge what an artefact gave against what PyTorch gave, both float32[N,C,H,W]."""
    figures = dataclasses.asdict(difference(given, expected, precision, wire))
    return Row(case=case, ran_on=ran_on, shape=tuple(expected.shape), decides=decides, **figures)


def worst(rows: Sequence[Row]) -> Row:
    """The row to look at first: a refused one where there is one, then the lowest PSNR; those that decide before."""
    return min(rows, key=lambda row: (not row.decides, row.refused is None, row.psnr))


def summarise(rows: Sequence[Row], executors: Sequence[Executor], passed: bool) -> Parity:
    """All rows as the result that travels in a spec."""
    deciding = [row for row in rows if row.decides] or rows
    return Parity(
        psnr=min(row.psnr for row in deciding),
        max_abs=max(row.max_abs for row in deciding),
        p999=max(row.p999 for row in deciding),
        cases=len(rows),
        passed=passed,
        worst=worst(rows).case,
        executors=tuple(_of_executor(each, [row for row in rows if row.ran_on == each.name]) for each in executors),
    )


def _of_executor(executor: Executor, rows: Sequence[Row]) -> ExecutorParity:
    return ExecutorParity(
        name=executor.name,
        version=executor.version,
        features=executor.features,
        precision=executor.precision,
        psnr=min(row.psnr for row in rows),
        max_abs=max(row.max_abs for row in rows),
        p999=max(row.p999 for row in rows),
        cases=len(rows),
        passed=all(row.refused is None for row in rows),
    )


def refusal(rows: Sequence[Row], precision: Precision) -> ParityError:
    """The error for rows of which one that decides was refused."""
    bad, count = worst(rows), sum(row.refused is not None and row.decides for row in rows)
    return ParityError(
        f"parity refused: {count} of {len(rows)} comparisons differ from PyTorch by more than {precision} may; "
        f"worst '{bad.case}' on {bad.ran_on}: {bad.refused}"
    )
