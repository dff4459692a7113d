"""The residual stream in a basis in which LayerNorm has no mean to subtract; and the last convolution, four at once.

Every reader and writer of the stream is linear, but for LayerNorm: so a level's channels may be turned by any
orthogonal matrix if all that writes them is turned and all that reads them turned back, once, in the weights. Turned so
that channel 0 is the mean (times the root of c), a normalised pixel is the other channels over their root mean square:
two passes over the image, the mean and its subtraction, are gone.

Source of the idea: Ashkboos et al., "SliceGPT: Compress Large Language Models by Deleting Rows and Columns",
arXiv 2401.15024, section 3, which turns a transformer's LayerNorm into RMSNorm so. Here the mean is not projected out
but kept in a channel of its own, for the convolutions between levels read it.

Shapes: c the width of a level.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def reflection(channels: int) -> Tensor:
    """float64[c,c]: Householder's reflection that takes the direction of the mean to channel 0.

    Its own transpose and inverse, and of all such matrices among the nearest to the identity: a channel that stands
    out from the others still does.
    """
    if channels == 1:
        return torch.eye(1, dtype=torch.float64)  # it is the mean already
    across = torch.full((channels,), channels**-0.5, dtype=torch.float64)
    across[0] -= 1
    return torch.eye(channels, dtype=torch.float64) - 2 * torch.outer(across, across) / (across @ across)


def turn_written(conv: nn.Conv2d, copies: int = 1) -> None:
    """Turn what a convolution gives, in place; its weights must be float64.

    Args:
        copies: neighbouring outputs that are one channel, at as many places of an image that PixelShuffle enlarges.
    """
    matrix = reflection(conv.out_channels // copies)
    parts = conv.weight.detach().unflatten(0, (-1, copies))
    conv.weight = _frozen(torch.tensordot(matrix, parts, 1).flatten(0, 1))
    if conv.bias is not None:
        conv.bias = _frozen(torch.tensordot(matrix, conv.bias.detach().unflatten(0, (-1, copies)), 1).flatten())


def turn_read(conv: nn.Conv2d, *, without_mean: bool = False) -> None:
    """Let a convolution take what is turned, in place; its weights must be float64.

    Args:
        without_mean: leave channel 0 out, as LayerNorm does.
    """
    weight = torch.einsum("oihw,ij->ojhw", conv.weight.detach(), reflection(conv.in_channels))
    if without_mean:
        weight[:, 0] = 0
    conv.weight = _frozen(weight)


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
    made.weight = _frozen(weight.flatten(0, 2))
    made.bias = _frozen(conv.bias.detach().repeat_interleave(4))
    return nn.Sequential(made, nn.PixelShuffle(2))


def unchanged(channels: int) -> nn.Conv2d:
    """A convolution that gives what it takes, to the bit, for engines to fuse the addition after it into.

    A skip's addition that stands alone is fused with the square of the next norm where sizes are fixed and not where
    they are free, and in bfloat16 those differ: a picture would depend on how many were restored before it.
    """
    with torch.device("meta"):
        made = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    made.weight = _frozen(torch.ones(channels, 1, 1, 1, dtype=torch.float64))
    return made


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
