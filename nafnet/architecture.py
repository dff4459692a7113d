"""NAFNet as a PyTorch module, with the parameter names of the authors' checkpoints.

Source: Chen et al., "Simple Baselines for Image Restoration", ECCV 2022 (arXiv 2204.04676), and for local
pooling Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022
(arXiv 2112.04491). This is the reference every export is compared with, so it favours the plain form.

Shapes: N batch, C channels, H height, W width; c is the width of a level, k the side of a box in pixels.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nafnet.spec import Architecture

Module = TypeVar("Module", bound=nn.Module)


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of each pixel: biased variance, eps inside the root.

    A channels-last tensor takes the library's fused kernel, which wants the channels adjacent in memory; any
    other takes the formula as published. The two agree to rounding.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:  # [N,C,H,W]
        if x.is_contiguous(memory_format=torch.channels_last):
            by_pixel = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
            return by_pixel.permute(0, 3, 1, 2)
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        return centred / (variance + self.eps).sqrt() * self.weight[:, None, None] + self.bias[:, None, None]


class SimpleGate(nn.Module):
    """The product of the two halves of the channels."""

    def forward(self, x: Tensor) -> Tensor:  # [N,2c,H,W] -> [N,c,H,W]
        first, second = x.chunk(2, dim=1)
        return first * second


class LocalPool(nn.Module):
    """TLC's pool: the mean over a box of k x k pixels around each pixel, replicated at the borders.

    Where the image is no larger than the box this is the global mean, [N,C,1,1], exactly.
    """

    def __init__(self, box: int) -> None:
        super().__init__()
        self.box = box

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.box >= height and self.box >= width:
            return x.mean((2, 3), keepdim=True)
        k_h, k_w = min(self.box, height), min(self.box, width)
        # A summed-area table; in double precision, since sums over a photograph cancel badly in single.
        table = F.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))  # [N,C,H+1,W+1]
        rows = table[:, :, k_h:] - table[:, :, :-k_h]
        mean = ((rows[..., k_w:] - rows[..., :-k_w]) / (k_h * k_w)).to(x.dtype)  # [N,C,H-k_h+1,W-k_w+1]
        top, left = (k_h - 1) // 2, (k_w - 1) // 2
        return F.pad(mean, (left, k_w - 1 - left, top, k_h - 1 - top), mode="replicate")

    def extra_repr(self) -> str:
        return f"box={self.box}"


class NAFBlock(nn.Module):
    """One block, [N,c,H,W] -> [N,c,H,W]: a depthwise branch with channel attention, then a feed-forward one."""

    def __init__(
        self, width: int, dw_expand: int = 2, ffn_expand: int = 2, dropout: float = 0.0, box: int | None = None
    ) -> None:
        super().__init__()
        deep, wide = width * dw_expand, width * ffn_expand
        self.conv1 = nn.Conv2d(width, deep, 1)
        self.conv2 = nn.Conv2d(deep, deep, 3, padding=1, groups=deep)
        self.conv3 = nn.Conv2d(deep // 2, width, 1)
        # Index 1 holds the parameters in every published checkpoint, so the pool stays at index 0.
        self.sca = nn.Sequential(
            nn.AdaptiveAvgPool2d(1) if box is None else LocalPool(box), nn.Conv2d(deep // 2, deep // 2, 1)
        )
        self.sg = SimpleGate()
        self.conv4 = nn.Conv2d(width, wide, 1)
        self.conv5 = nn.Conv2d(wide // 2, width, 1)
        self.norm1 = LayerNorm2d(width)
        self.norm2 = LayerNorm2d(width)
        self.dropout1 = nn.Dropout(dropout) if dropout else nn.Identity()
        self.dropout2 = nn.Dropout(dropout) if dropout else nn.Identity()
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.sg(self.conv2(self.conv1(self.norm1(x))))
        branch = self.conv3(branch * self.sca(branch))
        x = x + self.dropout1(branch) * self.beta
        branch = self.conv5(self.sg(self.conv4(self.norm2(x))))
        return x + self.dropout2(branch) * self.gamma


class NAFNet(nn.Module):
    """float32[N,C,H,W] in [0, 1] -> the restored image, same shape, not clipped. H and W are any size.

    Args:
        architecture: the shape of the network.
        dropout: probability, after each branch; for training only, it holds no parameters.
        local_pooling: pool SCA over a box of 1.5 x `train_patch` (TLC) instead of the whole image.
        train_patch: side of the training patches in pixels; used by local pooling alone.
    """

    def __init__(
        self, architecture: Architecture, *, dropout: float = 0.0, local_pooling: bool = False, train_patch: int = 256
    ) -> None:
        super().__init__()
        self.architecture = architecture
        depth = len(architecture.encoder_blocks)

        def level(count: int, scale: int) -> nn.Sequential:
            patch = train_patch // 2**scale
            box = patch * int(1.5 * train_patch) // train_patch if local_pooling else None
            shape = (architecture.width * 2**scale, architecture.dw_expand, architecture.ffn_expand, dropout, box)
            return nn.Sequential(*(NAFBlock(*shape) for _ in range(count)))

        channels, width = architecture.channels, architecture.width
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.ending = nn.Conv2d(width, channels, 3, padding=1)
        self.encoders = nn.ModuleList(level(n, scale) for scale, n in enumerate(architecture.encoder_blocks))
        self.downs = nn.ModuleList(nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 2, stride=2) for i in range(depth))
        self.middle_blks = level(architecture.middle_blocks, depth)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width * 2**i, width * 2 ** (i + 1), 1, bias=False), nn.PixelShuffle(2))
            for i in range(depth, 0, -1)
        )
        self.decoders = nn.ModuleList(
            level(n, depth - 1 - index) for index, n in enumerate(architecture.decoder_blocks)
        )

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        multiple = self.architecture.multiple
        # Zeros to the right and below, as the authors trained and evaluated.
        image = F.pad(image, (0, -width % multiple, 0, -height % multiple))
        return self.restore_padded(image)[:, :, :height, :width]

    def restore_padded(self, image: Tensor) -> Tensor:
        """`forward` without padding and cropping; H and W must be multiples of `architecture.multiple`."""
        return self.residual(image) + image

    def residual(self, image: Tensor) -> Tensor:
        """What is added to the image, of its shape; H and W must be multiples of `architecture.multiple`."""
        x = self.intro(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for decoder, up, skip in zip(self.decoders, self.ups, reversed(skips), strict=True):
            x = decoder(up(x) + skip)
        residual: Tensor = self.ending(x)
        return residual


def channels_last(model: Module) -> Module:
    """`model` with its weights laid out channels-last, where the CPU's and the GPU's fast kernels want them."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack this form
