"""One attempt at an export: a graph in one form, and what the gate found when it was compared with PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from nafnet.architecture import NAFNet
from nafnet.export.gate.cases import Case, Size, cases, picture, picture_size
from nafnet.export.gate.parity import summarise
from nafnet.export.gate.truth import Pairs
from nafnet.export.gate.verification import (
    AMPLIFIED,
    Count,
    Run,
    Verification,
    executors,
    profile_sizes,
    strictest,
)
from nafnet.export.network.graph import to_onnx, with_weights
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import calming, residual_peaks, scaled
from nafnet.onnxfile import embed_spec
from nafnet.spec import ModelSpec, Norm, Parity, Precision, WireType
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
    verify: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph with its spec inside."""

    model: onnx.ModelProto
    spec: ModelSpec
    sizes: tuple[Size, ...]
    """(N, H, W), smallest, best and largest, for an engine's profile."""
    reference: NAFNet
    verification: Verification | None
    photographs: Sequence[NDArray[np.float32]]
    """Those of the options, for an engine that is run."""
    attempts: tuple[str, ...]
    """The forms that were refused before this one, each with the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph that is not yet proven."""

    model: onnx.ModelProto
    spec: ModelSpec
    remade: Callable[[NAFNet], dict[str, Run]] | None
    """What runs the same graph with another network's weights; None where it cannot be had."""


def make_graph(reference: NAFNet, spec: ModelSpec, calm: bool, on_step: OnStep = unwatched) -> Graph:
    """Export in one form.

    Args:
        calm: scale the residual stream so that half cannot overflow, see `scaling`.
        on_step: told when a graph is written, which takes PyTorch half a second or more for each block.
    """
    assert spec.norm is not None
    norm, side, dtype = spec.norm, spec.tile if spec.fixed_shape else None, DTYPES[spec.precision]

    def rewritten(network: NAFNet) -> tuple[InferenceNAFNet, tuple[float, ...] | None]:
        if not calm:
            return InferenceNAFNet(network, norm, dtype=dtype, side=side), None
        factors = tuple(calming(residual_peaks(network, [probe(spec)])))
        return InferenceNAFNet(scaled(network, factors), norm, dtype=dtype, side=side), factors

    def traced(module: InferenceNAFNet) -> onnx.ModelProto:
        on_step(f"PyTorch writes the network as an ONNX graph ({spec.precision}, norm {norm})", 0, 0)
        return to_onnx(module, spec.channels, spec.multiple, wire=spec.io, side=side)

    module, factors = rewritten(reference)
    model, spec = traced(module), spec.replace(residual_scale=factors)

    def remade(network: NAFNet) -> dict[str, Run]:
        other = rewritten(network)[0]
        swapped = None if calm else with_weights(model, other)  # calming changes epsilon, which is not a weight
        return executors(traced(other) if swapped is None else swapped, spec)

    return Graph(model=model, spec=spec, remade=remade)


def verified(
    reference: NAFNet, graph: Graph, options: ExportOptions, truth: Pairs = (), on_step: OnStep = unwatched
) -> Exported:
    """Compare, and write what came of it into the graph.

    Args:
        truth: pictures and what they should become, where that is part of the gate.
        on_step: told of each comparison.
    """
    model, spec = graph.model, graph.spec
    sizes = profile_sizes(spec, options.batch or (1, 1, 1))
    found = None
    if options.verify:
        on_step("loading the graph into ONNX Runtime", 0, 0)
        runs = executors(model, spec)
        inputs = _inputs(spec, sizes if options.batch else (), options)
        louder = [probe(spec)] * len(AMPLIFIED) if graph.remade else []
        found = Verification(reference, spec, Count.of([*(case.batch for case in inputs), *louder], len(runs), on_step))
        found.compare_all(inputs, runs)
        if graph.remade:
            found.compare_amplified(graph.remade, probe(spec))
        found.measure_truth(truth, strictest(runs))
        found.measure_tiling(strictest(runs))
        spec = spec.replace(verified=found.passed, parity=_summary(found))
    embed_spec(model, spec)
    return Exported(
        model=model,
        spec=spec,
        sizes=sizes,
        reference=reference,
        verification=found,
        photographs=options.photographs,
        attempts=(),
    )


def _inputs(spec: ModelSpec, sizes: Sequence[Size], options: ExportOptions) -> list[Case]:
    """All that is compared; with local pooling, what is larger than its box as well."""
    compared = compared_sizes(spec, sizes)
    inputs = list(cases(spec.channels, spec.multiple, spec.tile, compared, options.photographs))
    if beyond := beyond_the_box(spec):
        batch, height, width = beyond
        inputs.append(
            Case(name=f"picture {batch}x{height}x{width}", batch=picture(batch, spec.channels, height, width))
        )
    return inputs


def _summary(found: Verification) -> Parity:
    loss = round(found.truth.loss, 4) if found.truth else None
    return dataclasses.replace(summarise(found.rows, found.passed), truth_loss=loss)


def compared_sizes(spec: ModelSpec, sizes: Sequence[Size]) -> Sequence[Size]:
    """The shapes of the gate's pictures: those of an engine, or more than one batch of a fixed tile; none leaves the
    choice to `cases`."""
    if sizes or not spec.fixed_shape:
        return sizes
    return (1, spec.tile, spec.tile), (3, spec.tile, spec.tile)


def beyond_the_box(spec: ModelSpec) -> Size | None:
    """A shape larger than local pooling's box along both axes, where the pool is not the mean of everything."""
    if not spec.local_pooling or spec.fixed_shape:
        return None
    box = spec.train_patch * 3 // 2
    height, width = (-(-int(box * factor) // spec.multiple) * spec.multiple for factor in (1.125, 1.25))
    return 1, height, width


def probe(spec: ModelSpec) -> Batch:
    """The picture that activations are measured on."""
    return picture(1, spec.channels, *probe_size(spec))


def probe_size(spec: ModelSpec) -> tuple[int, int]:
    """H and W of pictures that are neither large nor too small to have something in them."""
    return (spec.tile, spec.tile) if spec.fixed_shape else picture_size(spec.tile, spec.multiple)
