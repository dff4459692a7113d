"""Images of any size through the network: whole where they fit, in the runtime's tiles where not, smaller in need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nafnet.architecture import NAFNet, channels_last
from nafnet.spec import Architecture
from nafnet.tiling import blend_tiles, cut_tiles, plan_tiles
from nafnet.train.run.tiled import OVERLAP, NoMemoryError, TiledModel, with_local_pooling

CPU = torch.device("cpu")


class Hungry(nn.Module):
    """Gives what it gets; of more pixels than it may, by PyTorch's own allocator, which has not so much memory."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] * image.shape[-2] > self.most:
            torch.empty(1 << 50)
        return image


def network(seed: int = 0) -> NAFNet:
    torch.manual_seed(seed)
    made = NAFNet(Architecture(width=4, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1)))
    for name, parameter in made.named_parameters():
        if name.endswith(("beta", "gamma")):  # which start at 0, and would leave nothing to see
            nn.init.normal_(parameter)
    return channels_last(made).eval()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def test_what_fits_a_tile_goes_through_whole_and_padded_with_zeros() -> None:
    model, image = network(), picture(50, 37)
    with torch.inference_mode():
        expected = model(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    for tile in (0, 64):
        given = TiledModel(model, CPU, multiple=4, tile=tile).restore(image)
        torch.testing.assert_close(given, expected, atol=1e-6, rtol=0)


def test_what_does_not_is_cut_and_blended_as_the_runtime_does() -> None:
    model, image = network(), picture(150, 97)
    plan = plan_tiles(150, 97, tile=64, overlap=OVERLAP, multiple=4)
    planes = image.transpose(2, 0, 1)
    with torch.inference_mode():
        tiles = [model(torch.from_numpy(tile.copy())[None])[0].numpy() for tile in cut_tiles(planes, plan)]
    given = TiledModel(model, CPU, multiple=4, tile=64).restore(image)
    np.testing.assert_allclose(given.numpy(), blend_tiles(iter(tiles), plan, 3), atol=1e-6)


def test_out_of_memory_is_a_line_and_smaller_tiles() -> None:
    said: list[str] = []
    model = TiledModel(Hungry(150 * 150), CPU, multiple=16, say=said.append)
    image = picture(300, 500)
    np.testing.assert_array_equal(model.restore(image).permute(1, 2, 0).numpy(), image)
    assert said == [
        "out of memory: restored in tiles of 240 from here on, not of 500",
        "out of memory: restored in tiles of 112 from here on, not of 240",
    ]
    model.restore(image)
    assert (len(said), model.tile) == (2, 112), "it stays small"
    with pytest.raises(NoMemoryError):
        TiledModel(Hungry(16), CPU, multiple=16).restore(image)


def test_other_errors_are_not_taken_for_it() -> None:
    class Broken(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.reshape(7, 11)

    with pytest.raises(RuntimeError, match="invalid for input"):
        TiledModel(Broken(), CPU, multiple=16).restore(picture(64, 64))


def test_local_pooling_has_the_same_weights_and_no_copy_of_them() -> None:
    model = network()
    local = with_local_pooling(model, 32)
    assert all(
        one.data_ptr() == other.data_ptr() for one, other in zip(model.parameters(), local.parameters(), strict=True)
    )
    expected = NAFNet(model.architecture, local_pooling=True, train_patch=32).eval()
    expected.load_state_dict(model.state_dict())
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        torch.testing.assert_close(local(image), expected(image), atol=1e-6, rtol=0)
        assert (local(image) - model(image)).abs().max() > 1e-4
