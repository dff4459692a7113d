"""What a step makes smaller, by name: float[N,C,H,W] twice, output and target in [0, 1], to a scalar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def psnr_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean over the batch of -PSNR in dB (peak 1.0), as NAFNet was trained with."""
    error = (output - target).square().mean((1, 2, 3))
    return 10 * torch.log10(error + 1e-8).mean()


def bounded_psnr_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean over the batch of -PSNR in dB, as if every image had an error of 50 dB beside its own.

    The gradient of `psnr_loss` grows with 1/error: of a batch with clean and noisy images, the clean ones, to be left
    alone, would outweigh all others. Here they weigh about as much as those with noise of sigma 25.
    """
    error = (output - target).square().mean((1, 2, 3))
    return 10 * torch.log10(error + 1e-5).mean()


def charbonnier_loss(output: Tensor, target: Tensor) -> Tensor:
    """The mean of sqrt(difference^2 + 1e-6), an L1 loss that is smooth at 0.

    Source: Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for computed imaging",
    ICIP 1994.
    """
    return ((output - target).square() + 1e-6).sqrt().mean()


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "psnr": psnr_loss,
        "bounded-psnr": bounded_psnr_loss,
        "l1": F.l1_loss,
        "mse": F.mse_loss,
        "charbonnier": charbonnier_loss,
    }
)
