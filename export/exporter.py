"""A checkpoint to an ONNX file: rewritten, exported, checked, compared with PyTorch, and only then written."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import onnxruntime
import torch
from nafnet.export.parity import Batch, measure
from nafnet.export.rewrites import InferenceNAFNet
from torch import nn

from nafnet.checkpoint import Checkpoint
from nafnet.errors import ModelError
from nafnet.files import write_whole
from nafnet.onnxfile import embed_spec
from nafnet.spec import ModelSpec, Norm

OPSET = 20
DEFAULT_NORM: Norm = "conv"


def export_onnx(checkpoint: Checkpoint, path: Path, *, norm: Norm = DEFAULT_NORM) -> ModelSpec:
    """Write `checkpoint` to `path` as one self-contained fp32 ONNX file of dynamic batch, height and width.

    Input and output are ``float32[N,C,H,W]`` in [0, 1], H and W multiples of the spec's `multiple`.

    Returns:
        The spec embedded in the file, with the parity result.

    Raises:
        ParityError: the graph does not match the checkpoint in PyTorch; nothing is left at `path`.
        ModelError: the checkpoint pools locally, which this export does not write yet.
    """
    if checkpoint.spec.local_pooling:
        raise ModelError(f"{checkpoint.source}: local pooling cannot be exported yet; export it without")
    reference = checkpoint.build()
    model = to_onnx(InferenceNAFNet(reference, norm), checkpoint.spec.channels, checkpoint.spec.multiple)
    parity = measure(reference, OnnxCandidate(model))
    exporter = f"nafnet-toolchain {version('nafnet-toolchain')}, torch {torch.__version__}"
    spec = checkpoint.spec.replace(norm=norm, parity=parity, exported_by=exporter)
    embed_spec(model, spec)
    write_whole(path, model.SerializeToString())
    return spec


def to_onnx(module: nn.Module, channels: int, multiple: int) -> onnx.ModelProto:
    """Any image-to-image module as a checked graph with dynamic batch, height and width."""
    # Exporting specialises a dimension that is 1 or equals another, so the example has none such.
    example = torch.zeros(2, channels, 4 * multiple, 6 * multiple)
    batch, rows, columns = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
    shapes = ({0: batch, 2: multiple * rows, 3: multiple * columns},)
    with _silenced():
        program = torch.onnx.export(
            module, (example,), dynamo=True, dynamic_shapes=shapes, external_data=False, opset_version=OPSET,
            input_names=["image"], output_names=["restored"], verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    _name_dimensions(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _name_dimensions(model: onnx.ModelProto) -> None:
    """Call the free dimensions batch, height and width, for the exporter's formulas; drop what else it notes.

    Per-node metadata (stack traces with the exporting machine's paths) is of no use in a published file.
    """
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        for index, name in ((0, "batch"), (2, "height"), (3, "width")):
            dims[index].dim_param = name
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


class OnnxCandidate:
    """A graph in memory, run by ONNX Runtime on the CPU: float32[N,C,H,W] -> float32[N,C,H,W]."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, batch: Batch) -> Batch:
        restored: Batch = self._session.run(None, {"image": batch})[0]
        return restored


@contextlib.contextmanager
def _silenced():  # type: ignore[no-untyped-def]
    """The exporter's chatter, on standard output and in warnings, is not for our users; its errors still are."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
