"""The search for an int8 export: everything in int8 where the gate accepts that, else as much as it accepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from nafnet.export.attempts.attempt import Exported, ExportOptions, Graph, Note, make_graph, verified
from nafnet.export.attempts.quantise import Quantiser, fewest_in_half
from nafnet.export.gate.cases import compared_size, picture
from nafnet.export.gate.photographs import centre, places
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.truth import Pairs, pairs
from nafnet.spec import ModelSpec
from nafnet.steps import OnStep
from nafnet.wire import Batch
from nafnet.words import counted


def quantised(reference: Reference, spec: ModelSpec, options: ExportOptions, note: Note, on_step: OnStep) -> Exported:
    """As much in int8 as the gate accepts; what it says of everything in int8, where it accepts nothing."""
    pictures, further = _calibration(spec, options)
    parts = len(options.photographs) + len(further)
    kind = f"{counted(parts, 'part')} of {counted(len(options.photographs), 'photograph')}"
    note(f"int8: calibrating on {kind if options.photographs else 'generated pictures'}, norm {spec.norm}")
    graph = make_graph(reference.network, spec, calm=False, on_step=on_step, opset=options.opset)
    quantiser = Quantiser(onnx.ModelProto.FromString(graph.content), spec, pictures, further)

    def tried(kept: Sequence[str]) -> Exported:
        count = f"{len(quantiser.groups) - len(kept)} of {len(quantiser.groups)} blocks and layers"
        on_step(f"ONNX Runtime quantises {count}", 0, 0)
        model = quantiser.quantise([group for group in quantiser.groups if group not in kept])
        content, attempted = model.SerializeToString(), spec.replace(half_layers=tuple(kept))
        attempt = Graph(content=content, spec=attempted, module=graph.module, remade=None)
        return verified(reference, attempt, options, _truth(spec, options), on_step)

    try:
        everything = tried(())
        if everything.verification is None or everything.verification.passed:
            return everything
        note(str(everything.verification.refusal()))
        dearest, results = list(quantiser.costs(note, on_step)), {0: everything}

        def accepted(count: int) -> bool:
            results[count] = tried(dearest[:count])
            found = results[count].verification
            assert found is not None
            note(f"int8 with {count} of {len(dearest)} in half: {found.refusal() or 'passed'}")
            return found.passed

        return results[fewest_in_half(len(dearest), accepted) or 0]
    finally:
        quantiser.close()


def _calibration(spec: ModelSpec, options: ExportOptions) -> tuple[list[Batch], list[Batch]]:
    """Pictures as the model will meet them, one to a batch, and the extremes of what it may meet: noise and flats.

    Of photographs these are the middles; apart from them, further parts that are darker and brighter.
    """
    size = compared_size(spec)
    rng = np.random.default_rng(1)
    extremes = [np.full((1, spec.channels, *size), value, np.float32) for value in (0, 1)]
    extremes.append(rng.random((1, spec.channels, *size), np.float32))
    if options.photographs:
        found = [[part[None] for part in places(whole, spec.channels, *size)] for whole in options.photographs]
        return [*(middle for middle, *_ in found), *extremes], [part for _, *others in found for part in others]
    clean = picture(4, spec.channels, *size)
    noisy = np.clip(clean + rng.normal(0, 0.1, clean.shape), 0, 1).astype(np.float32)
    return [*(part[None] for part in noisy), *extremes], []


def _truth(spec: ModelSpec, options: ExportOptions) -> Pairs:
    """Pairs to judge int8 on: what the user gave, else clean pictures that get noise where the task is to denoise."""
    size = compared_size(spec)
    degraded, clean = (
        [centre(part, spec.channels, *size) for part in given] for given in (options.photographs, options.truth)
    )
    if clean:
        return pairs(spec.task, degraded, clean)
    return pairs(spec.task, [], degraded or list(picture(4, spec.channels, *size)))
