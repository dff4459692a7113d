"""Faults that an exporter, an engine or a careless edit could put into a graph, each made on purpose.

A fault of each kind is made wherever a graph has a place for it; `tensor_faults`, `graph_faults` and `wiring_faults`
have the kinds.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator, Sequence

import onnx

from nafnet.benchmarks.studies import graph_faults, tensor_faults, wiring_faults
from nafnet.benchmarks.studies.graph_edits import Change, Found

KINDS: dict[str, Callable[[onnx.ModelProto], Iterator[Found]]] = {
    "weight": tensor_faults.weights,
    "bias": tensor_faults.biases,
    "constant": tensor_faults.constants,
    "geometry": graph_faults.geometry,
    "pool": graph_faults.pool,
    "box": graph_faults.box,
    "batch": graph_faults.batch,
    "border": graph_faults.border,
    "order": wiring_faults.order,
    "wiring": wiring_faults.wiring,
    "epsilon": wiring_faults.epsilon,
    "type": wiring_faults.types,
    "removed": wiring_faults.removed,
    "added": wiring_faults.added,
    "shuffle": wiring_faults.shuffle,
}
"""All that a fault of a kind can be made of in a graph."""
_IN_WEIGHTS = ("weight", "bias")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mutation:
    """One fault."""

    name: str
    kind: str
    change: Change
    in_weights: bool = False
    """Whether the fault is in a network's weights and not in the graph, which with other weights is then right."""

    def __call__(self, content: bytes) -> bytes:
        """An ONNX file with the fault in it."""
        model = onnx.ModelProto.FromString(content)
        self.change(model.graph)
        return model.SerializeToString()


def mutations(content: bytes, only: Sequence[str] = ()) -> Iterator[Mutation]:
    """Every fault that an ONNX file has a place for, one of each kind in turn; always in the same order.

    Args:
        only: these kinds; all of them if none is named.
    """
    model = onnx.ModelProto.FromString(content)
    kinds = []
    for kind, faults in KINDS.items():
        if only and kind not in only:
            continue
        made = [
            Mutation(name=name, kind=kind, change=change, in_weights=kind in _IN_WEIGHTS)
            for name, change in faults(model)
        ]
        random.Random(kind).shuffle(made)
        kinds.append(made)
    for turn in itertools.zip_longest(*kinds):
        yield from (mutation for mutation in turn if mutation is not None)
