"""TLC's pool, as PyTorch computes it and as a graph has it.

PyTorch's exporter can write it itself, but has to reckon with formulas in place of sizes for that, in every block, and
takes several times as long. So while a network is exported the pool is one operator of our own, and written out when
the graph is there; written out before, the exporter would work out what follows from the example's sizes.

Source: Chu et al., arXiv 2112.04491. A box that would leave the image is moved inside it, which is what replicating the
border's means comes to; one larger than the image is the image. Each axis in turn: running sums, and the difference of
two of them for every pixel. One axis is a thousand terms and not a million, so fp32 keeps six digits, where a
summed-area table in fp32 would keep four.

Shapes: N batch, c the width of a level, H and W its height and width, k the side of the box in pixels.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx.inliner
import onnx.parser
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS, _COLUMNS = 2, 3


class BoxMean(nn.Module):
    """[N,c,H,W] -> [N,c,H,W] of any size, the mean of the k x k pixels around each; summed in fp32."""

    def __init__(self, box: int) -> None:
        super().__init__()
        self.box = box

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (self._node(wide) if torch.compiler.is_exporting() else box_mean(wide, self.box)).to(x.dtype)

    def _node(self, x: Tensor) -> Tensor:
        """A place for what `write_out` puts in."""
        settings: dict[str, Any] = {"box": self.box, "half": (self.box - 1) // 2}
        node: Tensor = torch.onnx.ops.symbolic(
            f"{_DOMAIN}::BoxMean", (x,), settings, dtype=x.dtype, shape=x.shape, version=1
        )
        return node

    def extra_repr(self) -> str:
        return f"box={self.box}"


def box_mean(x: Tensor, box: int) -> Tensor:
    """The mean of the box around each pixel: float32[N,c,H,W] to the same."""
    return _along(_along(x, _ROWS, box), _COLUMNS, box)


def _along(x: Tensor, axis: int, box: int) -> Tensor:
    """The mean of the pixels start <= j < end of each position along `axis`."""
    size = x.shape[axis]
    # Where the image is no larger than the box, size - box is not positive and every start is clipped to 0.
    start = (torch.arange(size, device=x.device) - (box - 1) // 2).clamp(max=size - box).clamp(min=0)
    end = (start + box).clamp(max=size)
    sums = F.pad(x.cumsum(axis), (1, 0) if axis == _COLUMNS else (0, 0, 1, 0))
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    count = (end - start).to(x.dtype).reshape(shape)
    return (sums.index_select(axis, end) - sums.index_select(axis, start)) / count


def write_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph with each `BoxMean` written out as ONNX's own operators."""
    if not any(node.domain == _DOMAIN for node in model.graph.node):
        return model
    written = onnx.ModelProto()
    written.CopyFrom(model)
    opset = next(each.version for each in model.opset_import if not each.domain)
    written.functions.append(onnx.parser.parse_function(_FUNCTION.replace("OPSET", str(opset))))
    written = onnx.inliner.inline_local_functions(written)
    others = [each for each in written.opset_import if each.domain != _DOMAIN]
    del written.opset_import[:]
    written.opset_import.extend(others)
    return written


def _lines(name: str, axis: int, given: str, made: str) -> str:
    """`_along` in ONNX's words; `name` goes before what is of this axis alone."""
    before = ", ".join(str(int(place == axis)) for place in range(4))
    shape = ", ".join("-1" if place == axis else "1" for place in range(4))
    return f"""
        {name}_shape = Shape<start = {axis}, end = {axis + 1}> ({given})
        {name}_size = Squeeze ({name}_shape)
        {name}_all = Range (zero, {name}_size, one)
        {name}_centred = Sub ({name}_all, half)
        {name}_last = Sub ({name}_size, box)
        {name}_before = Min ({name}_centred, {name}_last)
        {name}_start = Max ({name}_before, zero)
        {name}_after = Add ({name}_start, box)
        {name}_end = Min ({name}_after, {name}_size)
        {name}_axis = Constant<value_int = {axis}> ()
        {name}_sums = CumSum ({given}, {name}_axis)
        {name}_pads = Constant<value_ints = [{before}, 0, 0, 0, 0]> ()
        {name}_padded = Pad ({name}_sums, {name}_pads)
        {name}_upper = Gather<axis = {axis}> ({name}_padded, {name}_end)
        {name}_lower = Gather<axis = {axis}> ({name}_padded, {name}_start)
        {name}_inside = Sub ({name}_upper, {name}_lower)
        {name}_span = Sub ({name}_end, {name}_start)
        {name}_cast = Cast<to = 1> ({name}_span)
        {name}_like = Constant<value_ints = [{shape}]> ()
        {name}_count = Reshape ({name}_cast, {name}_like)
        {made} = Div ({name}_inside, {name}_count)"""


_DOMAIN = "nafnet.while.exporting"
_FUNCTION = f"""
<domain: "{_DOMAIN}", opset_import: ["" : OPSET]>
BoxMean <box, half> (x) => (mean) {{
        zero = Constant<value_int = 0> ()
        one = Constant<value_int = 1> ()
        box = Constant<value_int: int = @box> ()
        half = Constant<value_int: int = @half> ()
{_lines("rows", _ROWS, "x", "across")}
{_lines("columns", _COLUMNS, "across", "mean")}
}}"""
