"""The models that a backend of the runtime is compared on: the plain export, and ours in each precision."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

from nafnet.benchmarks.rows.exports import Exports
from nafnet.parity import Precision
from nafnet.runtime.backends import Entry
from nafnet.runtime.backends.model import Model

NAIVE, NAIVE_FIXED = "naive", "naive, fixed"
"""The plain export as anybody would load it; and loaded for the tile's shape as ours is, to tell what that gives."""
Case = tuple[int, int]
"""(batch, tile)"""
Variant = tuple[str, Precision, Case | None, Callable[[], Model]]
"""(label, precision it is judged by, the one case that it is for, what makes the model)"""
_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")


def native_precisions(name: str, entry: Entry) -> tuple[Precision, ...]:
    """What a backend is compared in where nobody said."""
    if name == "openvino-bf16":
        return ("bf16",)
    return ("fp32", "fp16") if entry.device == "cuda" else ("fp32",)


def variants(name: str, entry: Entry, exports: Exports, cases: Sequence[Case]) -> Iterator[Variant]:
    """What `name` of the runtime's registry is compared on; an engine of a GPU has a model of its own for each case."""
    checkpoint = exports.checkpoint
    if entry.reads == "checkpoint":
        yield "ours", "fp16", None, lambda: Model(path=checkpoint.source, spec=checkpoint.spec)
    elif entry.reads == "plan":
        for case in cases:
            for precision in _PRECISIONS:
                yield f"ours {precision}", precision, case, functools.partial(exports.plan, name, precision, *case)
    elif entry.device == "cuda":  # which makes its graphs and choices for a model of one size alone
        yield NAIVE, "fp32", None, exports.naive
        for case in cases:
            for precision in _PRECISIONS:
                label = "ours" if precision == "fp32" else f"ours {precision}"
                yield label, precision, case, functools.partial(exports.ours, precision, case[1])
    else:
        yield from _of_any_shape("bf16" if name == "openvino-bf16" else "fp32", exports)
        for precision in _PRECISIONS[1:] if name != "openvino-bf16" else ():
            yield f"ours {precision}", precision, None, functools.partial(exports.ours, precision)


def _of_any_shape(judged: Precision, exports: Exports) -> Iterator[Variant]:
    """The fp32 exports."""
    yield NAIVE, judged, None, exports.naive
    yield NAIVE_FIXED, judged, None, exports.naive
    yield "ours", judged, None, functools.partial(exports.ours, "fp32")
