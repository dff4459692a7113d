"""A model that restores images of any size in bounded memory: in tiles where they are large, in smaller ones in need.

The tiles are planned, cut and blended as `nafnet-run` does it. An image that fits one goes through the network whole,
padded with zeros as the authors evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nafnet.architecture import NAFNet
from nafnet.errors import speaks_of_memory
from nafnet.tiling import blend_tiles, cut_tiles, plan_tiles

Image = NDArray[np.float32]
OVERLAP = 16
"""Pixels that neighbouring tiles share, as `nafnet-run` has it by default."""
SMALLEST = 64
"""Side of the smallest tiles, in pixels; where the memory does not suffice for these, it does for nothing."""


class NoMemoryError(Exception):
    """The memory does not suffice, however small the tiles."""


class TiledModel:
    """A model with the side of its tiles.

    Args:
        model: in eval mode, float32[N,3,H,W] to the same.
        device: that it computes on.
        multiple: tiles' sides are multiples of this.
        tile: the largest side of what is restored at once, in pixels; 0: whole images.
        say: takes a line where the memory did not suffice.
    """

    def __init__(
        self, model: nn.Module, device: torch.device, *, multiple: int, tile: int = 0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.model, self.device, self.multiple, self.tile, self.say = model, device, multiple, tile, say

    @torch.inference_mode()
    def restore(self, image: Image) -> Tensor:
        """float32[3,H,W] on the device, not clipped, of float32[H,W,3]; the tiles stay as small as they had to become.

        Raises:
            NoMemoryError: it does not suffice for the smallest tiles.
        """
        while True:
            try:
                return self._restored(image)
            except (RuntimeError, MemoryError) as error:
                if not short_of_memory(error):
                    raise
            # Here, where the error's traceback holds none of what was computed any more.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._make_smaller(max(image.shape[:2]))

    def _restored(self, image: Image) -> Tensor:
        height, width = image.shape[:2]
        planes = image.transpose(2, 0, 1)
        if not self.tile or max(height, width) <= self.tile:
            return self._through(planes)
        overlap = min(OVERLAP, self.tile // 4)
        plan = plan_tiles(height, width, tile=self.tile, overlap=overlap, multiple=self.multiple)

        def restored() -> Iterator[NDArray[np.float32]]:
            for tile in cut_tiles(planes, plan):
                yield self._through(tile).cpu().numpy()

        return torch.from_numpy(blend_tiles(restored(), plan, len(planes))).to(self.device)

    def _through(self, planes: NDArray[np.float32]) -> Tensor:
        """float32[3,h,w] of [3,h,w], at once."""
        given = torch.from_numpy(np.ascontiguousarray(planes))[None].to(self.device)
        restored: Tensor = self.model(given.contiguous(memory_format=torch.channels_last))
        return restored[0].float()

    def _make_smaller(self, longest: int) -> None:
        now = min(self.tile or longest, longest)
        smaller = now // 2 // self.multiple * self.multiple
        if smaller < max(SMALLEST, self.multiple):
            raise NoMemoryError
        self.say(f"out of memory: restored in tiles of {smaller} from here on, not of {now}")
        self.tile = smaller


def short_of_memory(error: BaseException) -> bool:
    """Whether it says that memory did not suffice, the device's or the host's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or speaks_of_memory(str(error))


def with_local_pooling(model: NAFNet, patch: int) -> NAFNet:
    """The model in eval mode, pooling over 1.5 x `patch` pixels in place of whole images; the weights are the same."""
    with torch.device("meta"):
        twin = NAFNet(model.architecture, local_pooling=True, train_patch=patch)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval()
