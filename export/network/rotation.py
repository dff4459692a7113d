"""The residual stream in a basis in which LayerNorm has no mean to subtract.

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

from nafnet.export.network.operators import frozen


def reflection(channels: int) -> Tensor:
    """float64[c,c]: Householder's reflection that takes the direction of the mean to channel 0.

    Its own transpose and inverse. A channel other than 0 stays for the most part where it was, so that one which stands
    out from the others still does; channel 0 itself is spread over all.
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
    conv.weight = frozen(torch.tensordot(matrix, parts, 1).flatten(0, 1))
    if conv.bias is not None:
        conv.bias = frozen(torch.tensordot(matrix, conv.bias.detach().unflatten(0, (-1, copies)), 1).flatten())


def turn_read(conv: nn.Conv2d, *, without_mean: bool = False) -> None:
    """Let a convolution take what is turned, in place; its weights must be float64.

    Args:
        without_mean: leave channel 0 out, as LayerNorm does.
    """
    weight = torch.einsum("oihw,ij->ojhw", conv.weight.detach(), reflection(conv.in_channels))
    if without_mean:
        weight[:, 0] = 0
    conv.weight = frozen(weight)
