"""NAFNet written for inference: the same function with fewer and cheaper operators, in the type it will run in.

Each rewrite is exact in real arithmetic, so what differs from the trained module is rounding, about 1e-6 in fp32:

- LayerNorm's weight and bias are folded into the 1x1 convolution that follows it;
- beta and gamma are folded into the 1x1 convolution before them;
- SimpleGate is the product of two convolutions, in the place of one of twice the width and a split;
- LayerNorm and SCA's pool take the form that the engine at hand runs best, see `operators`; in one of them the whole
  residual stream changes its basis, see `rotation`;
- in fp32 the last convolution gives 2x2 pixels at once, see `operators.two_by_two`.

A network in half is a module whose convolutions are in half, not a finished graph rewritten: weights are folded in
double precision and rounded once, and the image is added to the residual in fp32, so that a pixel the network leaves
alone comes out as it went in.

Shapes: N batch, c the width of a level, H and W its height and width.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from nafnet.architecture import LayerNorm2d, LocalPool, NAFBlock, NAFNet
from nafnet.export.network.box_mean import BoxMean
from nafnet.export.network.operators import GlobalMean, Normalise, frozen, two_by_two, unchanged
from nafnet.export.network.rotation import turn_read, turn_written
from nafnet.spec import Norm


class InferenceBlock(nn.Module):
    """A NAFBlock after the rewrites, its convolutions in `dtype`; same input, same output, but that with the norm `rms`
    both are turned, see `rotation`."""

    def __init__(self, block: NAFBlock, norm: Norm, dtype: torch.dtype, side: int | None) -> None:
        super().__init__()
        self.norm1 = Normalise(block.conv1.in_channels, block.norm1.eps, norm)
        self.norm2 = Normalise(block.conv4.in_channels, block.norm2.eps, norm)
        self.expand1, self.expand2 = _halves(_absorb_norm(block.conv1, block.norm1))
        self.depthwise1, self.depthwise2 = _halves(block.conv2)
        self.pool = _pool(block.sca[0], side)
        self.attention = copy.deepcopy(block.sca[1]).double()
        self.project = _absorb_scale(block.conv3, block.beta)
        self.gate1, self.gate2 = _halves(_absorb_norm(block.conv4, block.norm2))
        self.feed_forward = _absorb_scale(block.conv5, block.gamma)
        if norm == "rms":
            for reader in (self.expand1, self.expand2, self.gate1, self.gate2):
                turn_read(reader, without_mean=True)
            for writer in (self.project, self.feed_forward):
                turn_written(writer)
        _convert(self, dtype)  # at once: the whole network in double precision would be twice its size

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self.depthwise1(self.expand1(y)) * self.depthwise2(self.expand2(y))
        x = x + self.project(y * self.attention(self.pool(y)))
        y = self.norm2(x)
        return x + self.feed_forward(self.gate1(y) * self.gate2(y))


class InferenceNAFNet(nn.Module):
    """`model` after the rewrites: float32[N,C,H,W] -> same; H and W multiples of the architecture's `multiple`.

    It never modifies `model`.

    Args:
        model: the trained network.
        norm: the form of LayerNorm.
        dtype: of weights and activations: torch.float32, float16 or bfloat16.
        side: H and W where they will be fixed, else None. Where no box of local pooling is smaller than that, the
            pool is the global mean, which is then the same function.
    """

    def __init__(
        self, model: NAFNet, norm: Norm, *, dtype: torch.dtype = torch.float32, side: int | None = None
    ) -> None:
        super().__init__()
        self.dtype = dtype
        depth = len(model.encoders)
        sides = [None if side is None else side // 2**level for level in range(depth + 1)]
        self.intro, ending = copy.deepcopy(model.intro).double(), copy.deepcopy(model.ending).double()
        self.downs, self.ups = copy.deepcopy(model.downs).double(), copy.deepcopy(model.ups).double()
        if norm == "rms":
            _turn_between_levels(self.intro, self.downs, self.ups, ending)
        # Of a network in half, which is for GPUs, nobody has measured yet which is faster.
        self.ending = two_by_two(ending) if dtype == torch.float32 else ending

        def level(blocks: nn.Module, index: int) -> nn.Sequential:
            found = (block for block in blocks.children() if isinstance(block, NAFBlock))
            return nn.Sequential(*(InferenceBlock(block, norm, dtype, sides[index]) for block in found))

        self.encoders = nn.ModuleList(level(blocks, index) for index, blocks in enumerate(model.encoders))
        self.middle_blks = level(model.middle_blks, depth)
        self.decoders = nn.ModuleList(level(blocks, depth - 1 - i) for i, blocks in enumerate(model.decoders))
        _convert(self, dtype)
        self.requires_grad_(False)
        self.eval()

    residual = NAFNet.residual

    def forward(self, image: Tensor) -> Tensor:
        residual: Tensor = self.residual(image.to(self.dtype))  # type: ignore[misc]  # NAFNet's, for layers of the same names
        return residual.float() + image


def _turn_between_levels(intro: nn.Conv2d, downs: nn.ModuleList, ups: nn.ModuleList, ending: nn.Conv2d) -> None:
    """The readers and writers of the residual stream that are no blocks', in place."""
    turn_written(intro)
    for down in downs:
        assert isinstance(down, nn.Conv2d)
        turn_read(down)
        turn_written(down)
    for up in ups:
        assert isinstance(up, nn.Sequential)
        assert isinstance(up[0], nn.Conv2d)
        turn_read(up[0])
        turn_written(up[0], copies=4)
        up.append(unchanged(up[0].out_channels // 4))
    turn_read(ending)


def _pool(pool: nn.Module, side: int | None) -> nn.Module:
    if isinstance(pool, LocalPool) and (side is None or side > pool.box):
        return BoxMean(pool.box)
    return GlobalMean()


def _convert(module: nn.Module, dtype: torch.dtype) -> None:
    """The convolutions alone, rounded this once: the constants of a norm stay in fp32, as its statistics do."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.to(dtype)


def _convolution(weight: Tensor, bias: Tensor, like: nn.Conv2d, groups: int) -> nn.Conv2d:
    """A convolution with the given weight and bias, and the geometry of `like`."""
    outputs, inputs = weight.shape[0], weight.shape[1] * groups
    with torch.device("meta"):
        made = nn.Conv2d(inputs, outputs, weight.shape[2:], padding=like.padding, groups=groups)  # type: ignore[arg-type]  # a torch.Size may have any length
    made.weight, made.bias = frozen(weight), frozen(bias)
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
