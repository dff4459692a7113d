"""One fault in an exported graph: what the gate says of it, and what it does to photographs.

The photographs are none of the gate's. They are restored with and without the fault by ONNX Runtime alone. A fault is
*seen* where over 0.1% of the values of an 8-bit result are over one step off.

The gate refuses a graph for any one comparison. So its comparisons in ONNX Runtime are made first, and the whole gate,
which takes seconds, is put only to what they let through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.benchmarks.photographs import as_8bit, in_unit_range, photographs
from nafnet.benchmarks.studies.mutations import Mutation
from nafnet.errors import ParityError
from nafnet.export.attempts.attempt import ExportOptions, Graph, make_graph, probe, verified
from nafnet.export.gate.cases import Case, cases
from nafnet.export.gate.executors import Executor, in_onnxruntime
from nafnet.export.gate.parity import Row
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.verification import OPENED, Verification
from nafnet.export.network.graph import INPUT
from nafnet.export.network.opened import opened
from nafnet.spec import Architecture, ModelSpec
from nafnet.steps import OnStep, unwatched
from nafnet.wire import Batch, from_wire, to_wire

ARCHITECTURE = Architecture(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
PATCH = 64
"""Of a tile and of training: local pooling's box is 96 pixels."""
FORMS: dict[str, dict[str, Any]] = {
    "fp32": {"norm": "rms"},
    "fp16": {"norm": "fused", "precision": "fp16"},
    "uint8": {"norm": "rms", "io": "uint8"},
    "local": {"norm": "rms", "local_pooling": True},
}
SIZES = ((96, 64), (144, 192))
"""H and W of the photographs; of local pooling, in a box and over several."""
STEP, SHARE = 1, 0.001
"""Seen is what changes a larger share of values than this by more steps than that."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One fault, what it does and what the gate said."""

    form: str
    kind: str
    name: str
    share: float
    """Of the values of 8-bit photographs, how many are over one step off."""
    refused: str | None
    """Why the gate refuses it, if it does."""
    by_pictures: tuple[str, ...]
    """The comparisons that refuse it, weights not counted; of several libraries only where ONNX Runtime has none."""
    by_weights: bool

    @property
    def seen(self) -> bool:
        return self.share > SHARE


class Trial:
    """One way of exporting the network, with its graph and PyTorch's answers, which are made once.

    Args:
        name: of one in `FORMS`.
        on_step: told what is being done.
    """

    def __init__(self, name: str, on_step: OnStep = unwatched, *, architecture: Architecture = ARCHITECTURE) -> None:
        self.name = name
        facts = FORMS[name]
        network = other_network(architecture, facts.get("local_pooling", False))
        spec = ModelSpec(
            architecture=architecture, multiple=architecture.multiple, train_patch=PATCH, tile=PATCH, overlap=8, **facts
        )
        self.reference = Reference(network)
        self.graph = make_graph(network, spec, False, on_step)
        self._remade: dict[int, bytes] = {}
        self._cases = cases(spec)
        self._pictures = [pictures(*size) for size in SIZES]
        self._unchanged = self._restored(self.graph.content)

    def judge(self, mutation: Mutation) -> Judged | None:
        """Put a fault to the gate; None if there is no running the graph with it, or it is no change."""
        content = mutation(self.graph.content)
        if content == self.graph.content:
            return None
        try:
            onnx.checker.check_model(content, full_check=True)
            restored = self._restored(content)
        except Exception:  # ONNX Runtime and the checker have families of errors of their own
            return None
        remade = self._remake if mutation.in_weights else lambda network: mutation(self._remake(network))
        changed = dataclasses.replace(self.graph, content=content, remade=remade)
        refused, weights, rows = self._gate(changed)
        names = tuple(dict.fromkeys(f"{row.case} on {row.ran_on}" for row in rows if row.refused and row.decides))
        return Judged(
            form=self.name, kind=mutation.kind, name=mutation.name, share=_share(restored, self._unchanged),
            refused=str(refused) if refused else None, by_pictures=names, by_weights=weights,
        )  # fmt: skip

    def _gate(self, changed: Graph) -> tuple[ParityError | str | None, bool, Sequence[Row]]:
        """Why it is refused, whether for its weights, and the comparisons."""
        first = Verification(self.reference, changed.spec)
        first.compare_weights(onnx.ModelProto.FromString(changed.content), changed.module)
        other = Verification(self.reference.opened(), changed.spec)
        assert changed.remade is not None
        try:
            first.compare_all(self._cases, [_onnxruntime(changed.content, changed.spec)])
            louder = _onnxruntime(changed.remade(other.reference.network), changed.spec)
            other.compare_all([Case(name=OPENED, batch=probe(changed.spec))], [louder])
            rows = [*first.rows, *other.rows]
            refused = first.refusal() or other.refusal()
            if not any(row.refused for row in rows):
                found = verified(self.reference, changed, ExportOptions()).verification
                assert found is not None
                refused, rows = found.refusal(), found.rows
        except Exception as error:  # an export would end with it
            return f"{type(error).__name__}: {error}", first.weights is not None, first.rows
        return refused, first.weights is not None, rows

    def _remake(self, network: NAFNet) -> bytes:
        """The graph without a fault, with other weights."""
        if id(network) not in self._remade:  # they live as long as the reference
            assert self.graph.remade is not None
            self._remade[id(network)] = self.graph.remade(network)
        return self._remade[id(network)]

    def _restored(self, content: bytes) -> list[Batch]:
        options, wire = onnxruntime.SessionOptions(), self.graph.spec.io
        options.log_severity_level = 4  # it raises what it would print
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        return [from_wire(session.run(None, {INPUT: to_wire(batch, wire)})[0], wire) for batch in self._pictures]


def _onnxruntime(content: bytes, spec: ModelSpec) -> Executor:
    return Executor(name="onnxruntime", run=in_onnxruntime(content, spec), precision=spec.precision)


def other_network(architecture: Architecture, local_pooling: bool) -> NAFNet:
    """Every weight matters, and none is what the gate itself would put in the place of a network's weights."""
    torch.manual_seed(0)
    network = opened(NAFNet(architecture, local_pooling=local_pooling, train_patch=PATCH).eval())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.flip(0, 1) if parameter.ndim == 4 else parameter.flip(0))
    return network


def pictures(height: int, width: int) -> Batch:
    """float32[6,3,H,W]: the middle of each sample photograph, at a third of its size."""
    found = []
    for _, photograph in photographs():
        top, left = ((have - 3 * want) // 2 for have, want in zip(photograph.shape, (height, width), strict=False))
        top, left = max(top, 0), max(left, 0)
        unit = in_unit_range(photograph[top::3, left::3])
        missing = [(0, max(want - have, 0)) for want, have in zip((height, width), unit.shape, strict=False)]
        found.append(np.pad(unit, [*missing, (0, 0)], mode="symmetric")[:height, :width].transpose(2, 0, 1))
    return np.ascontiguousarray(found)


def _share(given: Sequence[Batch], expected: Sequence[Batch]) -> float:
    """The largest of any batch; what is no number, or of another shape, is off."""
    return max(map(_share_of_batch, given, expected))


def _share_of_batch(given: Batch, expected: Batch) -> float:
    if given.shape != expected.shape:
        return 1.0
    steps: list[NDArray[np.int16]] = [as_8bit(np.nan_to_num(batch)).astype(np.int16) for batch in (given, expected)]
    return float(np.mean((np.abs(steps[0] - steps[1]) > STEP) | ~np.isfinite(given)))
