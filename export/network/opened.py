"""A network whose every weight matters: what a trained one would hide, a comparison of this one shows.

A trained network may have branches that add next to nothing; two of its outputs in the wrong order, or a sign lost, are
then 74 dB from the truth and pass every gate. The graph that is exported is the same for any weights, so it is compared
with these as well.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from nafnet.architecture import NAFNet

_OPEN = 0.3
"""Standard deviation of beta and gamma: the stream stays in the range that trained networks have."""
_ATTENTIVE = 10.0
"""Of SCA's convolution: as it is drawn, its bias would say most, and a pool over the wrong values would not show."""
_RESIDUAL = 0.5
"""The largest value that is added to noise between 0 and 1, about."""


@torch.no_grad()
def opened(network: NAFNet) -> NAFNet:
    """A copy with random weights of a fixed seed: branches open, norms off 1 and 0, biases off 0."""
    made = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in made.named_parameters():
        leaf = name.rpartition(".")[2]
        if leaf in ("beta", "gamma"):
            parameter.normal_(0, _OPEN, generator=generator)
        elif ".norm" in name:
            parameter.normal_(float(leaf == "weight"), 0.2, generator=generator)
        elif leaf == "bias":
            parameter.normal_(0, 0.1, generator=generator)
        else:
            nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
        if name.endswith("sca.1.weight"):
            parameter.mul_(_ATTENTIVE)
    channels = made.architecture.channels
    side = 4 * made.architecture.multiple
    change = made.residual(torch.rand(1, channels, side, side, generator=generator)).abs().max()
    for parameter in made.ending.parameters():
        parameter.mul_(_RESIDUAL / float(change))
    return made
