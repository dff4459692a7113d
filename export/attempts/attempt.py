"""One attempt at an export: a graph in one form, and what the gate found when it was compared with PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.export.gate.cases import Size, cases, compared_size, is_padded, picture, profile_sizes
from nafnet.export.gate.executors import Executor, executors, strictest
from nafnet.export.gate.parity import summarise
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.truth import Pairs
from nafnet.export.gate.verification import AMPLIFIED, Count, Verification
from nafnet.export.network.graph import to_onnx, with_weights
from nafnet.export.network.opened import opened
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import calming, residual_peaks, scaled
from nafnet.kept_tile import answer_of, is_askable, kept_tile
from nafnet.onnxfile import embed_spec
from nafnet.parity import Parity, Precision
from nafnet.spec import ModelSpec, Norm, WireType
from nafnet.steps import OnStep, unwatched
from nafnet.wire import Batch

Note = Callable[[str], None]
"""Told in a line what is going on."""

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.float16,  # of what is not in int8
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export, and how it is proven."""

    precision: Precision = "fp32"
    norm: Norm | None = None
    """One form of LayerNorm, or None for the first that passes."""
    io: WireType = "float32"
    tile: int | None = None
    """Fix H and W to this; None leaves them free."""
    local_pooling: bool | None = None
    """None: as the checkpoint says."""
    batch: tuple[int, int, int] | None = None
    """Smallest, best and largest batch of an engine's profile, whose shapes are then part of the gate."""
    photographs: Sequence[NDArray[np.float32]] = ()
    """float32[C,H,W], compared beside the generated inputs; int8 is calibrated on them."""
    truth: Sequence[NDArray[np.float32]] = ()
    """The clean version of each photograph; int8 must not lose against them."""
    pad: bool = False
    """Take any H and W, padded and cropped inside the graph."""
    opset: int | None = None
    """Of ONNX's operators; None for the least that does."""
    verify: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph with its spec inside."""

    model: onnx.ModelProto
    spec: ModelSpec
    sizes: tuple[Size, ...]
    """(N, H, W), smallest, best and largest, for an engine's profile."""
    reference: Reference
    verification: Verification | None
    photographs: Sequence[NDArray[np.float32]]
    """Those of the options, for an engine that is run."""
    attempts: tuple[str, ...]
    """The forms that were refused before this one, each with the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph that is not yet proven."""

    content: bytes
    """An ONNX file without a spec: what is compared, and then written."""
    spec: ModelSpec
    module: InferenceNAFNet
    """Whose weights it must hold."""
    remade: Callable[[NAFNet], bytes] | None
    """The same graph with another network's weights; None where it cannot be had."""


def make_graph(
    reference: NAFNet, spec: ModelSpec, calm: bool, on_step: OnStep = unwatched, *, opset: int | None = None
) -> Graph:
    """Export in one form.

    PyTorch's exporter merges weights that are equal, as those of branches that were never opened are. So the graph is
    made of a network without such, and the weights are put in: it can hold any.

    Args:
        calm: scale the residual stream so that half cannot overflow, see `scaling`.
        on_step: told when a graph is written, which takes PyTorch some tenths of a second for each block.
        opset: see `to_onnx`.
    """
    assert spec.norm is not None
    norm, side, dtype = spec.norm, spec.tile if spec.fixed_shape else None, DTYPES[spec.precision]

    def factors_of(network: NAFNet) -> tuple[float, ...] | None:
        return tuple(calming(residual_peaks(network, [probe(spec)]))) if calm else None

    def rewritten(network: NAFNet, factors: tuple[float, ...] | None) -> InferenceNAFNet:
        return InferenceNAFNet(scaled(network, factors) if factors else network, norm, dtype=dtype, side=side)

    def traced(factors: tuple[float, ...] | None) -> tuple[onnx.ModelProto, InferenceNAFNet]:
        on_step(f"PyTorch writes the network as an ONNX graph ({spec.precision}, norm {norm})", 0, 0)
        origin = rewritten(opened(reference), factors)
        made = to_onnx(
            origin,
            spec.channels,
            reference.architecture.multiple,
            wire=spec.io,
            side=side,
            pad=is_padded(spec),
            opset=opset,
        )
        return made, origin

    factors = factors_of(reference)
    module, (model, origin) = rewritten(reference, factors), traced(factors)
    content = with_weights(model, module, origin).SerializeToString()

    def remade(network: NAFNet) -> bytes:
        own = factors_of(network)
        if own == factors:
            return with_weights(
                onnx.ModelProto.FromString(content), rewritten(network, own), module
            ).SerializeToString()
        other, made_of = traced(own)  # calming changes epsilon, which is no weight
        return with_weights(other, rewritten(network, own), made_of).SerializeToString()

    return Graph(content=content, spec=spec.replace(residual_scale=factors), module=module, remade=remade)


def verified(
    reference: Reference, graph: Graph, options: ExportOptions, truth: Pairs = (), on_step: OnStep = unwatched
) -> Exported:
    """Compare, and write what came of it into the graph.

    Args:
        truth: pictures and what they should become, where that is part of the gate.
        on_step: told of each comparison.
    """
    spec = graph.spec
    sizes = profile_sizes(spec, options.batch or (1, 1, 1))
    kept = reference(kept_tile(spec)) if is_askable(spec) else None
    spec = spec.replace(answer=answer_of(kept) if kept is not None and np.isfinite(kept).all() else None)
    model, found = onnx.ModelProto.FromString(graph.content), None
    if options.verify:
        on_step("loading the graph into the libraries that are here", 0, 0)
        runs = executors(graph.content, spec)
        inputs = cases(spec, sizes if options.batch else (), options.photographs)
        louder = [probe(spec)] * (len(AMPLIFIED) + 1) if graph.remade else []
        found = Verification(reference, spec, Count.of([*(case.batch for case in inputs), *louder], len(runs), on_step))
        found.compare_weights(model, graph.module)
        found.compare_all(inputs, runs)
        if graph.remade:
            found.compare_remade(graph.remade, probe(spec))
        able = [each for each in runs if each.decides and each.name not in found.failed]
        if able:
            found.measure_truth(truth, strictest(able).run)
            found.measure_tiling(strictest(able).run)
        spec = spec.replace(verified=found.passed, parity=_summary(found, runs))
    spec = embed_spec(model, spec)
    return Exported(
        model=model,
        spec=spec,
        sizes=sizes,
        reference=reference,
        verification=found,
        photographs=options.photographs,
        attempts=(),
    )


def _summary(found: Verification, runs: Sequence[Executor]) -> Parity:
    loss = round(found.truth.loss, 4) if found.truth else None
    return dataclasses.replace(summarise(found.rows, runs, found.passed), truth_loss=loss)


def probe(spec: ModelSpec) -> Batch:
    """The picture that activations are measured on."""
    return picture(1, spec.channels, *compared_size(spec))
