"""A PyTorch module to a checked ONNX graph: fixed or free sizes, and the type of what crosses its border."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from nafnet.export.network.box_mean import write_out
from nafnet.export.network.padding import with_padding
from nafnet.spec import WireType

INPUT, OUTPUT = "image", "restored"
OPSET, OLDEST_OPSET, NEWEST_OPSET = 20, 18, 24
FINITE = 1e30
"""More than any picture's values add up to."""
BFLOAT16_OPSET = 22  # the first whose Conv takes bfloat16


class Wire(nn.Module):
    """`module`, float32[N,C,H,W] in [0, 1] to the same, behind a border of another type.

    float32: as it is. float16: a cast on both sides. uint8: [N,H,W,C] as files hold it, 0 to 255; scaled, turned,
    and after the network clipped and rounded to the nearest, ties to even, all of it in the graph. A byte cannot say
    that a result is no number, as after an overflow in half: an image with such a value becomes all zeros.
    """

    def __init__(self, module: nn.Module, wire: WireType) -> None:
        super().__init__()
        self.module, self.wire = module, wire

    def forward(self, image: Tensor) -> Tensor:
        if self.wire == "float16":
            return self.module(image.float()).half()
        if self.wire == "uint8":
            # The multiplication that the runtime does for 8-bit files, so that both give the very same values. The
            # casts are outermost, for TensorRT takes uint8 at its border alone.
            restored = self.module(image.float().permute(0, 3, 1, 2) * (1 / 255)).float()
            steps = (restored * 255).round().clamp(0, 255)
            return torch.where(_is_finite(restored), steps, 0.0).permute(0, 2, 3, 1).to(torch.uint8)
        return self.module(image)


def _is_finite(restored: Tensor) -> Tensor:
    """bool[N,1,1,1] of float32[N,C,H,W]: a sum keeps what is infinite or no number, whatever computes it."""
    return restored.sum((1, 2, 3), keepdim=True).abs() <= FINITE


def to_onnx(
    module: nn.Module, channels: int, multiple: int, *, wire: WireType = "float32", side: int | None = None,
    pad: bool = False, opset: int | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """An image-to-image module, float32[N,C,H,W] to the same, as a graph with a free batch size.

    Args:
        multiple: H and W may be any multiple of this,
        side: unless they are fixed to this.
        wire: the type of input and output, see `Wire`.
        pad: take any H and W, see `with_padding`.
        opset: of ONNX's operators; the least that does by default. The file asks for no later version of the format
            than these need.
    """
    # Exporting specialises a dimension that is 1 or equals another, so the example has none such.
    height, width = (side, side) if side else (4 * multiple, 6 * multiple)
    kinds = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
    example = torch.zeros(2, channels, height, width, dtype=kinds[wire])
    rows = 1 if wire == "uint8" else 2
    if wire == "uint8":
        example = example.permute(0, 2, 3, 1).contiguous()
    names = {0: "batch"} if side else {0: "batch", rows: "height", rows + 1: "width"}
    opset = opset or (BFLOAT16_OPSET if any(each.dtype == torch.bfloat16 for each in module.parameters()) else OPSET)
    wired = Wire(module, wire)
    model = _exported(wired, example, opset, names)
    if not _takes_others(model, {0: 3} if side else {0: 3, rows: 6 * multiple, rows + 1: 8 * multiple}):
        batch, across, along = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
        free = {0: batch} if side else {0: batch, rows: multiple * across, rows + 1: multiple * along}
        model = _exported(wired, example, opset, names, free)
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    if pad:
        model = with_padding(model, multiple, channels_last=wire == "uint8")
    onnx.checker.check_model(model, full_check=True)
    return model


def _exported(
    module: nn.Module, example: Tensor, opset: int, names: dict[int, str], free: dict[int, Any] | None = None
) -> onnx.ModelProto:
    """What PyTorch's exporter makes of a module, with these names for dimensions of its input and its output.

    Args:
        free: the dimensions that the exporter is to take for unknown. It then calculates with formulas, which takes
            two to three times as long, and only a graph that asks for sizes comes out another. None: with those of
            the example.
    """
    # Else imported in the midst of the export, where Ctrl-C would be taken for a failure of the exporter's.
    importlib.import_module("torch._dynamo")
    with _silenced():
        program = torch.onnx.export(
            module, (example,), dynamo=True, dynamic_shapes=(free,) if free else None, external_data=False,
            opset_version=opset, input_names=[INPUT], output_names=[OUTPUT], verbose=False,
        )  # fmt: skip
    assert program is not None
    model = write_out(program.model_proto)
    _clean(model, names)
    return model


def _takes_others(model: onnx.ModelProto, sizes: dict[int, int]) -> bool:
    """Whether by ONNX's own rules an input of these sizes gives an output of the same: no node holds the example's."""
    resized = onnx.ModelProto()
    resized.CopyFrom(model)
    given = resized.graph.input[0].type.tensor_type.shape
    for index, size in sizes.items():
        given.dim[index].dim_value = size
    expected = [dim.dim_value for dim in given.dim]
    resized.graph.output[0].type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(resized, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return False
    return [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim] == expected


def with_weights(model: onnx.ModelProto, module: nn.Module, origin: nn.Module) -> onnx.ModelProto:
    """A copy of `model` that has the weights of `module`, one of the same structure as the one it was made of.

    Args:
        origin: what `model` was made of. The exporter merges weights that are equal, such as the constants of two
            norms; of those that are not in the graph by their names, `module` must have the values of `origin`.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    tensors = {f"module.{name}": tensor for name, tensor in module.named_parameters()}
    before = dict(origin.named_parameters())
    for initializer in copied.graph.initializer:
        tensor = tensors.pop(initializer.name, None)
        if tensor is not None:
            assert list(initializer.dims) == list(tensor.shape), initializer.name
            array = rounded(tensor.detach().float().numpy(), initializer.data_type)
            initializer.CopyFrom(numpy_helper.from_array(array, initializer.name))
    merged = [name for name, tensor in tensors.items() if not torch.equal(tensor, before[name.removeprefix("module.")])]
    assert not merged, f"weights that the graph does not hold by name: {', '.join(merged)}"
    return copied


def rounded(weight: NDArray[np.float32], kind: int) -> NDArray[Any]:
    """In the type of an initialiser, contiguous."""
    return np.ascontiguousarray(weight.astype(onnx.helper.tensor_dtype_to_np_dtype(kind)))


def _clean(model: onnx.ModelProto, names: dict[int, str]) -> None:
    """Call the free dimensions batch, height and width, for the exporter's formulas; drop what else it notes.

    Per-node metadata (stack traces with the exporting machine's paths) is of no use in a published file.
    """
    graph = model.graph
    for value in (*graph.input, *graph.output):
        for index, name in names.items():
            value.type.tensor_type.shape.dim[index].dim_param = name
    del graph.value_info[:]
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """The exporter's chatter, on standard output and in warnings, is not for our users; its errors still are."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
