"""NAFNet written for inference: the same function with fewer and cheaper operators.

Each rewrite is exact in real arithmetic, so what differs from the trained module is rounding, about 1e-6:

- LayerNorm's weight and bias are folded into the 1x1 convolution that follows it;
- beta and gamma are folded into the 1x1 convolution before them;
- SimpleGate is the product of two convolutions, in the place of one of twice the width and a split;
- SCA's pool is a plain mean, which exports as one ReduceMean;
- LayerNorm takes the form that the engine at hand runs best, see `Normalise`.

Shapes: N batch, c the width of a level, H and W its height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nafnet.architecture import LayerNorm2d, LocalPool, NAFBlock, NAFNet
from nafnet.spec import Norm

# Up to this width, subtracting the mean as one c x c convolution is cheaper than a mean and a subtraction: both are
# bound by memory, and the convolution passes over the image once. Measured with nafnet-bench at width 32.
CENTRING_BY_CONVOLUTION = 64


class Normalise(nn.Module):
    """LayerNorm over the channels without weight and bias: [N,c,H,W] -> [N,c,H,W].

    Forms:
        conv: mean and variance as 1x1 convolutions with constant weights; the fastest on a CPU. In narrow levels
            the mean is subtracted by the convolution itself, whose weight is then the identity minus 1/c.
        fused: one LayerNormalization between two transposes; the safe one in half precision, since its
            statistics are in fp32.
        manual: ReduceMean, as the module has it.
    """

    averaging: Tensor
    centring: Tensor

    def __init__(self, channels: int, eps: float, form: Norm) -> None:
        super().__init__()
        self.channels, self.eps, self.form = channels, eps, form
        if form == "conv":
            self.register_buffer("averaging", torch.full((1, channels, 1, 1), 1 / channels))
            self.register_buffer("centring", (torch.eye(channels) - 1 / channels)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "fused":
            return F.layer_norm(x.permute(0, 2, 3, 1), (self.channels,), eps=self.eps).permute(0, 3, 1, 2)
        if self.form == "conv":
            narrow = self.channels <= CENTRING_BY_CONVOLUTION
            centred = F.conv2d(x, self.centring) if narrow else x - F.conv2d(x, self.averaging)
            variance = F.conv2d(centred * centred, self.averaging)
        else:
            centred = x - x.mean(1, keepdim=True)
            variance = (centred * centred).mean(1, keepdim=True)
        return centred / (variance + self.eps).sqrt()


class GlobalMean(nn.Module):
    """SCA's pool: [N,c,H,W] -> [N,c,1,1]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class InferenceBlock(nn.Module):
    """A NAFBlock after the rewrites; same input, same output."""

    def __init__(self, block: NAFBlock, norm: Norm) -> None:
        super().__init__()
        self.norm1 = Normalise(block.conv1.in_channels, block.norm1.eps, norm)
        self.norm2 = Normalise(block.conv4.in_channels, block.norm2.eps, norm)
        self.expand1, self.expand2 = _halves(_absorb_norm(block.conv1, block.norm1))
        self.depthwise1, self.depthwise2 = _halves(block.conv2)
        pool = block.sca[0]
        self.pool = pool if isinstance(pool, LocalPool) else GlobalMean()
        self.attention = block.sca[1]
        self.project = _absorb_scale(block.conv3, block.beta)
        self.gate1, self.gate2 = _halves(_absorb_norm(block.conv4, block.norm2))
        self.feed_forward = _absorb_scale(block.conv5, block.gamma)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self.depthwise1(self.expand1(y)) * self.depthwise2(self.expand2(y))
        x = x + self.project(y * self.attention(self.pool(y)))
        y = self.norm2(x)
        return x + self.feed_forward(self.gate1(y) * self.gate2(y))


class InferenceNAFNet(nn.Module):
    """`model` after the rewrites: float32[N,C,H,W] -> same; H and W multiples of the architecture's `multiple`.

    It shares tensors with `model` where nothing changed and never modifies them.
    """

    def __init__(self, model: NAFNet, norm: Norm) -> None:
        super().__init__()
        self.intro, self.ending = model.intro, model.ending
        self.downs, self.ups = model.downs, model.ups
        self.encoders = nn.ModuleList(_level(level, norm) for level in model.encoders)
        self.middle_blks = _level(model.middle_blks, norm)
        self.decoders = nn.ModuleList(_level(level, norm) for level in model.decoders)
        self.eval()

    forward = NAFNet.restore_padded


def _level(blocks: nn.Module, norm: Norm) -> nn.Sequential:
    return nn.Sequential(*(InferenceBlock(block, norm) for block in blocks.children() if isinstance(block, NAFBlock)))


def _convolution(weight: Tensor, bias: Tensor, like: nn.Conv2d, groups: int) -> nn.Conv2d:
    """A convolution with the given weight and bias, in single precision, and the geometry of `like`."""
    outputs, inputs = weight.shape[0], weight.shape[1] * groups
    with torch.device("meta"):
        made = nn.Conv2d(inputs, outputs, weight.shape[2:], padding=like.padding, groups=groups)  # type: ignore[arg-type]
    made.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
    made.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
    return made


def _weight_and_bias(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """In double precision, so that folding adds no rounding of its own."""
    assert conv.bias is not None
    return conv.weight.detach().double(), conv.bias.detach().double()


def _absorb_norm(conv: nn.Conv2d, norm: LayerNorm2d) -> nn.Conv2d:
    """conv(n * w + b) as one convolution of n."""
    weight, bias = _weight_and_bias(conv)
    scale, shift = norm.weight.detach().double(), norm.bias.detach().double()
    return _convolution(weight * scale[None, :, None, None], bias + weight[:, :, 0, 0] @ shift, conv, 1)


def _absorb_scale(conv: nn.Conv2d, scale: Tensor) -> nn.Conv2d:
    """conv(x) * s as one convolution; s is [1,c,1,1]."""
    weight, bias = _weight_and_bias(conv)
    factor = scale.detach().double().flatten()
    return _convolution(weight * factor[:, None, None, None], bias * factor, conv, 1)


def _halves(conv: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The two convolutions that give the first and the second half of the output channels."""
    weight, bias = _weight_and_bias(conv)
    half = weight.shape[0] // 2
    groups = conv.groups // 2 if conv.groups > 1 else 1
    first = _convolution(weight[:half], bias[:half], conv, groups)
    return first, _convolution(weight[half:], bias[half:], conv, groups)
