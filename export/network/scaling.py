"""Scale the residual stream of a NAFNet, level by level, without changing what the network computes.

Every branch of a block starts with a LayerNorm, which does not see the scale of what it is given, so the stream of a
level can be multiplied by any factor: what adds to it (intro, beta and gamma, the way down and the way up) is
multiplied, what leaves it is divided, and epsilon follows with the square. Two uses:

- the parity gate makes activations as large as trained networks have them, or larger, to see what half does then;
- the last resort of the export makes them smaller, where they overflow half.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nafnet.architecture import NAFBlock, NAFNet

# A stream of this size leaves the sum of 1024 squares below half's 65504.
SAFE_PEAK = 8.0


@torch.no_grad()
def scaled(model: NAFNet, factors: Sequence[float], *, keep_epsilon: bool = False) -> NAFNet:
    """A copy of `model` whose residual stream is multiplied by `factors`, one for each level, full resolution first.

    Args:
        keep_epsilon: leave LayerNorm's epsilon alone, so that the graph differs in its weights and nothing else. The
            function is then the same but where the variance over the channels is as small as epsilon.
    """
    copied = copy.deepcopy(model)
    depth = len(copied.encoders)
    assert len(factors) == depth + 1
    _multiply(copied.intro, factors[0], factors[0])
    _multiply(copied.ending, 1 / factors[0])
    for level, down in enumerate(copied.downs):
        _multiply(down, factors[level + 1] / factors[level], factors[level + 1])
    for index, up in enumerate(copied.ups):
        level = depth - index
        _multiply(next(up.children()), factors[level - 1] / factors[level])
    for level, block in _blocks(copied):
        block.beta.mul_(factors[level])
        block.gamma.mul_(factors[level])
        for norm in (block.norm1, block.norm2):
            norm.eps *= 1 if keep_epsilon else factors[level] ** 2
    return copied


def residual_peaks(model: NAFNet, batches: Iterable[NDArray[np.float32]]) -> list[float]:
    """The largest absolute value in the residual stream of each level, full resolution first, over `batches`."""
    peaks = [0.0] * (len(model.encoders) + 1)

    def watcher(level: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def watch(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
            # The way down is given another level's stream, so of it only what comes out is this one's.
            seen = [out] if isinstance(given[0], Tensor) and given[0].shape != out.shape else [given[0], out]
            found = [float(part.abs().max()) for part in seen]
            peaks[level] = math.nan if any(map(math.isnan, found)) else max(peaks[level], *found)

        return watch

    places: list[tuple[int, nn.Module]] = [*_blocks(model), *((i + 1, down) for i, down in enumerate(model.downs))]
    hooks = [place.register_forward_hook(watcher(level)) for level, place in places]
    try:
        for batch in batches:
            with torch.inference_mode():
                model(torch.from_numpy(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return peaks


def amplifying(peaks: Sequence[float], target: float) -> list[float]:
    """Factors that bring the stream at the bottleneck to `target` and leave the other levels alone.

    A bottleneck that is there already is left alone, too.
    """
    factor = target / peaks[-1] if 0 < peaks[-1] < math.inf else 1.0
    return [*([1.0] * (len(peaks) - 1)), max(factor, 1.0)]


def calming(peaks: Sequence[float]) -> list[float]:
    """Factors, powers of two and so exact, that bring every level's stream to at most `SAFE_PEAK`."""
    return [
        2.0 ** min(0, math.floor(math.log2(SAFE_PEAK / peak))) if SAFE_PEAK < peak < math.inf else 1.0 for peak in peaks
    ]


def _multiply(conv: nn.Module, weight: float, bias: float | None = None) -> None:
    assert isinstance(conv, nn.Conv2d)
    conv.weight.mul_(weight)
    if bias is not None and conv.bias is not None:
        conv.bias.mul_(bias)


def _blocks(model: NAFNet) -> list[tuple[int, NAFBlock]]:
    """Every block with its level, 0 at full resolution."""
    depth = len(model.encoders)
    groups = [*enumerate(model.encoders), (depth, model.middle_blks)]
    groups += [(depth - 1 - index, blocks) for index, blocks in enumerate(model.decoders)]
    return [(level, block) for level, blocks in groups for block in blocks.children() if isinstance(block, NAFBlock)]
