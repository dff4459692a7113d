"""The operators that an engine cares how one writes: LayerNorm, SCA's pool, the last convolution, a skip's addition.

Half precision has two dangers here. The sum of squares in LayerNorm passes 65504 once a residual is some hundreds,
and the mean over an image sums more values than eleven bits can count. So whatever the type of the activations,
statistics are in fp32; a form says only how that is written.

Shapes: N batch, c the width of a level, H and W its height and width, k the side of a box in pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nafnet.spec import Norm

# Up to this width, subtracting the mean as one c x c convolution is cheaper than a mean and a subtraction: both are
# bound by memory, and the convolution passes over the image once. Measured with nafnet-bench at width 32.
CENTRING_BY_CONVOLUTION = 64


class Normalise(nn.Module):
    """LayerNorm over the channels without weight and bias: [N,c,H,W] -> [N,c,H,W], of the input's type.

    Forms:
        rms: of an input in the basis of `rotation`, where channel 0 is the mean times the root of c and the other
            channels are what differs from it: the variance is then one 1x1 convolution of their squares, in fp32; the
            fastest on a CPU. Channel 0 comes out scaled as well; whoever reads the result has to leave it out.
        conv: mean and variance as 1x1 convolutions with constant weights, in fp32. In narrow levels the mean is
            subtracted by the convolution itself, whose weight is then the identity minus 1/c.
        fused: one LayerNormalization between two transposes. In half it is typed half, and the operator's own
            stash type keeps the statistics in fp32: the fastest on a GPU, and safe where the engine obeys.
        fused-fp32: the same, typed fp32, with a cast before and after; nothing is left to the engine.
        manual: ReduceMean, as the module has it, in fp32.
    """

    averaging: Tensor
    centring: Tensor

    def __init__(self, channels: int, eps: float, form: Norm) -> None:
        super().__init__()
        self.channels, self.eps, self.form = channels, eps, form
        if form in ("conv", "rms"):
            self.register_buffer("averaging", torch.full((1, channels, 1, 1), 1 / channels))
        if form == "rms":
            self.averaging[:, 0] = 0
        if form == "conv":
            self.register_buffer("centring", (torch.eye(channels) - 1 / channels)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "fused":
            return F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,), eps=self.eps).permute(0, 3, 1, 2)
        return self._in_fp32(x.float()).to(x.dtype)

    def _in_fp32(self, x: Tensor) -> Tensor:
        if self.form == "fused-fp32":
            return F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,), eps=self.eps).permute(0, 3, 1, 2)
        if self.form == "rms":
            return x / (F.conv2d(x * x, self.averaging) + self.eps).sqrt()
        if self.form == "conv":
            narrow = self.channels <= CENTRING_BY_CONVOLUTION
            centred = F.conv2d(x, self.centring) if narrow else x - F.conv2d(x, self.averaging)
            variance = F.conv2d(centred * centred, self.averaging)
        else:
            centred = x - x.mean(1, keepdim=True)
            variance = (centred * centred).mean(1, keepdim=True)
        return centred / (variance + self.eps).sqrt()


class GlobalMean(nn.Module):
    """SCA's pool, summed in fp32: [N,c,H,W] -> [N,c,1,1]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean((2, 3), keepdim=True).to(x.dtype)


def two_by_two(conv: nn.Conv2d) -> nn.Sequential:
    """A 3x3 convolution as one 4x4 of stride 2 that gives 2x2 pixels at once, and PixelShuffle; H and W must be even.

    Kernels fill whole vectors of at least 8 outputs: three, an image's channels, leave most of one empty.
    """
    assert conv.bias is not None
    outputs, inputs = conv.weight.shape[:2]
    weight = conv.weight.new_zeros(outputs, 2, 2, inputs, 4, 4)
    for row in range(2):
        for column in range(2):
            weight[:, row, column, :, row : row + 3, column : column + 3] = conv.weight.detach()
    with torch.device("meta"):
        made = nn.Conv2d(inputs, 4 * outputs, 4, stride=2, padding=1)
    made.weight = frozen(weight.flatten(0, 2))
    made.bias = frozen(conv.bias.detach().repeat_interleave(4))
    return nn.Sequential(made, nn.PixelShuffle(2))


def unchanged(channels: int) -> nn.Conv2d:
    """A convolution that gives what it takes, to the bit, for engines to fuse the addition after it into.

    A skip's addition that stands alone is fused with the square of the next norm where sizes are fixed and not where
    they are free, and in bfloat16 those differ: a picture would depend on how many were restored before it.
    """
    with torch.device("meta"):
        made = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    made.weight = frozen(torch.ones(channels, 1, 1, 1, dtype=torch.float64))
    return made


def frozen(tensor: Tensor) -> nn.Parameter:
    """A weight that is not trained."""
    return nn.Parameter(tensor, requires_grad=False)
