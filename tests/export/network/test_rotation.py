"""The change of basis by its definition, and the layers that come with it against what they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.export.network.graph import to_onnx
from nafnet.export.network.operators import two_by_two, unchanged
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.rotation import reflection
from nafnet.spec import Architecture, Norm

MakeNetwork = Callable[[Architecture], NAFNet]


@pytest.mark.parametrize("channels", [1, 2, 3, 16, 512])
def test_channel_0_is_the_mean_and_nothing_is_lost(channels: int) -> None:
    matrix = reflection(channels).numpy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(channels), atol=1e-13)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-15)
    x = np.random.default_rng(0).normal(3, 1, channels)
    turned = matrix @ x
    assert turned[0] == pytest.approx(np.sqrt(channels) * x.mean())
    assert (turned[1:] ** 2).sum() / channels == pytest.approx(x.var(), abs=1e-12)


def test_four_pixels_at_once_are_the_convolution() -> None:
    torch.manual_seed(0)
    conv, image = nn.Conv2d(8, 3, 3, padding=1).double(), torch.rand(2, 8, 6, 10, dtype=torch.float64)
    torch.testing.assert_close(two_by_two(conv)(image), conv(image), atol=1e-13, rtol=0)


def test_unchanged_is_to_the_bit() -> None:
    """In every type that a network may have, and with what a sum of several terms would lose."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        image = (torch.randn(1, 5, 4, 6) * torch.tensor([1e-5, 1, 1e2, 1e4, 6e4])[:, None, None]).to(dtype)
        assert torch.equal(unchanged(5).to(dtype)(image), image)


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(width=1, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1)),
        Architecture(channels=4, width=5, encoder_blocks=(0, 2), middle_blocks=0, decoder_blocks=(2, 0)),
        Architecture(width=6, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1), dw_expand=1, ffn_expand=3),
    ],
    ids=["one channel", "odd widths", "other expansions"],
)
def test_any_architecture_can_be_turned(architecture: Architecture, make_network: MakeNetwork) -> None:
    model = make_network(architecture)
    image = torch.rand(1, architecture.channels, 2 * architecture.multiple, 2 * architecture.multiple)
    turned = InferenceNAFNet(model, "rms")
    with torch.inference_mode():
        expected, given = model(image), turned(image)
    torch.testing.assert_close(given, expected, atol=5e-6, rtol=0)
    graph = to_onnx(turned, architecture.channels, architecture.multiple).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (ran,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    np.testing.assert_allclose(ran, expected.numpy(), atol=5e-6, rtol=0)


def test_a_large_mean_costs_no_more_than_before(make_network: MakeNetwork) -> None:
    """A stream whose channels are all near 3,000, which is large beside what the norm is to see."""
    architecture = Architecture(width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,))
    model = make_network(architecture)
    with torch.no_grad():
        assert model.intro.bias is not None
        model.intro.bias += 3000
        model.ending.weight -= model.ending.weight.mean(1, keepdim=True)  # the result does not show the mean itself
    image = torch.rand(1, 3, 32, 32)

    def error(norm: Norm) -> float:
        with torch.inference_mode():
            exact = model.double()(image.double())
            model.float()
            return float((InferenceNAFNet(model, norm)(image) - exact).abs().max())

    assert error("rms") < 2 * min(error("manual"), error("conv"))
