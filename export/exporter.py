"""A checkpoint to a graph in the precision asked for, in the first form of it that matches PyTorch, or to a refusal."""

from __future__ import annotations

import dataclasses
import math
from importlib.metadata import version
from pathlib import Path

import torch

from nafnet.checkpoint import Checkpoint
from nafnet.errors import ParityError, SpecError, UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions, Note, make_graph, verified
from nafnet.export.attempts.int8 import quantised
from nafnet.export.gate.cases import compared_size, profile_sizes
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.verification import Verification
from nafnet.export.network.graph import BFLOAT16_OPSET
from nafnet.files import write_whole
from nafnet.parity import Precision
from nafnet.spec import ModelSpec, Norm
from nafnet.steps import OnStep, unwatched
from nafnet.tiling import check_tile

# Tried in this order until one passes the gate: the fastest first, then what leaves less and less to the engine.
FORMS: dict[Precision, tuple[Norm, ...]] = {
    "fp32": ("rms", "fused", "manual"),
    "fp16": ("fused", "fused-fp32", "conv"),
    "bf16": ("fused", "fused-fp32", "conv"),
    "int8": ("fused",),
}


# On two cores of a laptop, rounded up: what PyTorch takes for a block of the graph, whatever its size, and values
# (width x width x pixels, for each block) that the comparisons get through.
_SECONDS_BEFORE, _SECONDS_PER_BLOCK, _VALUES_PER_SECOND = 8.0, 0.6, 6e8
_TIMES: dict[Precision, float] = {"fp32": 1, "fp16": 2, "bf16": 2, "int8": 3}  # as many executors and attempts


class RefusalError(ParityError):
    """The gate refused every form; `verification` is that of the last."""

    def __init__(self, message: str, verification: Verification, attempts: tuple[str, ...]) -> None:
        super().__init__(message)
        self.verification, self.attempts = verification, attempts


def export(
    checkpoint: Checkpoint, options: ExportOptions, note: Note = lambda _: None, on_step: OnStep = unwatched
) -> Exported:
    """Export in the first form that the gate accepts.

    Args:
        note: told in a line what is going on.
        on_step: told how far it is.

    Raises:
        RefusalError: none is accepted.
        UsageError: the tile does not fit the network.
    """
    reference = Reference(checkpoint.build(local_pooling=options.local_pooling))
    spec = artefact_spec(checkpoint, options)
    if options.precision == "int8":
        exported = quantised(reference, spec.replace(norm=options.norm or FORMS["int8"][0]), options, note, on_step)
        found = exported.verification
        if found and (error := found.refusal()):
            raise RefusalError(str(error), found, ())
        return exported
    forms = [(norm, False) for norm in ([options.norm] if options.norm else FORMS[options.precision])]
    if options.precision != "fp32":
        forms.append((forms[0][0], True))
    attempts: list[str] = []
    for norm, calm in forms:
        form = f"norm {norm}{', scaled' if calm else ''}"
        note(f"{options.precision}, {form}")
        graph = make_graph(reference.network, spec.replace(norm=norm), calm, on_step, opset=options.opset)
        exported = verified(reference, graph, options, on_step=on_step)
        found = exported.verification
        error = found.refusal() if found else None
        if error is None:
            return dataclasses.replace(exported, attempts=tuple(attempts))
        attempts.append(f"{form}: {error}")
        note(attempts[-1])
    assert found is not None
    raise RefusalError(str(error), found, tuple(attempts))


def photograph_size(checkpoint: Checkpoint, options: ExportOptions) -> tuple[int, int]:
    """Height and width of the part of a photograph that the gate compares.

    Raises:
        UsageError: the tile does not fit the network.
    """
    spec = artefact_spec(checkpoint, options)
    return compared_size(spec, profile_sizes(spec, options.batch) if options.batch else ())


def expected_time(spec: ModelSpec, options: ExportOptions | None = None) -> str:
    """How long `export` takes, very roughly, in words: `about a minute`. `spec` is the checkpoint's."""
    options = options or ExportOptions()
    architecture = spec.architecture
    assert architecture is not None
    blocks = sum(architecture.encoder_blocks) + architecture.middle_blocks + sum(architecture.decoder_blocks)
    seconds = _SECONDS_BEFORE + _SECONDS_PER_BLOCK * blocks
    if options.verify:
        tiles = 12 + sum(options.batch or ()) + len(options.photographs)
        values = architecture.width**2 * blocks * tiles * (options.tile or spec.tile) ** 2
        seconds += _TIMES[options.precision] * values / _VALUES_PER_SECOND
    minutes = math.ceil(seconds / 60)
    return "about a minute" if minutes == 1 else f"about {minutes} minutes"


def artefact_spec(checkpoint: Checkpoint, options: ExportOptions) -> ModelSpec:
    """What is known of the artefact before it is made.

    Raises:
        UsageError: the options exclude one another, or do not fit the network.
    """
    stated = {} if options.local_pooling is None else {"local_pooling": options.local_pooling}
    spec = checkpoint.spec.replace(
        **stated, precision=options.precision, io=options.io, verified=False, parity=None,
        exported_by=f"nafnet-toolchain {version('nafnet-toolchain')}, torch {torch.__version__}",
    )  # fmt: skip
    if options.precision in ("fp16", "bf16") and options.norm == "rms":
        raise UsageError(
            f"--{options.precision} --norm rms: the mean passes this norm as a channel of its own, and can overflow in "
            "half; choose fused, fused-fp32, conv or manual"
        )
    if options.precision == "int8" and options.norm in ("conv", "rms"):
        raise UsageError(
            f"--int8 --norm {options.norm}: the norm's own convolutions would be in int8, too; choose fused or manual"
        )
    if options.opset is not None and options.precision == "bf16" and options.opset < BFLOAT16_OPSET:
        raise UsageError(f"--bf16 --opset {options.opset}: bfloat16 needs opset {BFLOAT16_OPSET} or later")
    if options.pad and options.tile is not None:
        raise UsageError(f"--pad --tile {options.tile}: one takes any size, the other a single one; choose one")
    if options.tile is None:
        if spec.tile % spec.multiple or not 0 <= spec.overlap < spec.tile:
            raise SpecError(
                f"{checkpoint.source}: its spec says tiles of {spec.tile}, overlap {spec.overlap}; this network needs "
                f"multiples of {spec.multiple}: give --tile, or write the file anew"
            )
        return spec.replace(multiple=1) if options.pad else spec
    overlap = min(spec.overlap, options.tile // 4)
    check_tile(options.tile, overlap, spec.multiple)
    return spec.replace(tile=options.tile, multiple=options.tile, overlap=overlap, fixed_shape=True)


def export_onnx(
    checkpoint: Checkpoint, path: Path, *, norm: Norm | None = None, on_step: OnStep = unwatched
) -> ModelSpec:
    """Write `checkpoint` to `path` as one self-contained fp32 ONNX file of dynamic batch, height and width.

    Input and output are ``float32[N,C,H,W]`` in [0, 1], H and W multiples of the spec's `multiple`.

    Returns:
        The spec embedded in the file, with the parity result.

    Raises:
        ParityError: the graph does not match the checkpoint in PyTorch; nothing is left at `path`.
    """
    exported = export(checkpoint, ExportOptions(norm=norm), on_step=on_step)
    write_whole(path, exported.model.SerializeToString())
    return exported.spec
