"""What an export is compared with PyTorch on: pictures, and the inputs that are known to break exports.

Batches are float32[N,C,H,W] in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nafnet.export.gate.photographs import centre
from nafnet.wire import Batch

Size = tuple[int, int, int]
"""N, H, W."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A named input."""

    name: str
    batch: Batch


def cases(
    channels: int,
    multiple: int,
    side: int,
    sizes: Sequence[Size] = (),
    photographs: Sequence[NDArray[np.float32]] = (),
) -> Iterator[Case]:
    """Every input of the gate.

    Args:
        multiple: H and W are multiples of this.
        side: of the tiles that the model is used with; pictures are about as large.
        sizes: the smallest, best and largest shape of an engine's profile, each of which is tried; without one,
            a mixture of sizes, fit for a graph of any.
        photographs: float32[C,H,W] of any size; cut to the size of the other pictures.
    """
    height, width = picture_size(side, multiple)
    shapes = list(dict.fromkeys(sizes)) or [(1, height, width), (3, width, width), (2, multiple, multiple)]
    single = min(n for n, _, _ in shapes)
    if sizes:
        _, height, width = sizes[len(sizes) // 2]
    rng = np.random.default_rng(0)
    for n, h, w in shapes:
        yield Case(name=f"picture {n}x{h}x{w}", batch=picture(n, channels, h, w))
    clean = picture(single, channels, height, width)
    noisy = np.clip(clean + rng.normal(0, 0.1, clean.shape), 0, 1)
    yield Case(name="noisy picture", batch=noisy.astype(np.float32))
    # Dark, flat images make released models blow up into colour mosaic when a statistic is off.
    for name, colour in (("dark and flat", (33, 25, 23)), ("black", (0,)), ("saturated", (255,)), ("red", (255, 0, 0))):
        flat = np.resize(np.array(colour, np.float32) / 255, channels)[None, :, None, None]
        batch = np.broadcast_to(flat, (single, channels, height, width)).astype(np.float32)
        yield Case(name=name, batch=batch)
    yield Case(name="noise", batch=rng.random((single, channels, height, width), np.float32))
    for index, photograph in enumerate(photographs):
        cut = centre(photograph, channels, height, width)
        yield Case(name=f"photograph {index + 1}", batch=np.repeat(cut[None], single, 0))


def picture_size(side: int, multiple: int) -> tuple[int, int]:
    """H and W, not equal, multiples of `multiple`: the side of a tile and five eighths of it."""
    return max(side // multiple, 2) * multiple, max(side * 5 // 8 // multiple, 1) * multiple


def picture(batch: int, channels: int, height: int, width: int) -> Batch:
    """Pictures of a fixed seed: fields with the 1/f spectrum of photographs, cut into areas with sharp borders."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = 1
    noise = np.random.default_rng(0).standard_normal((batch, channels + 1, height, width))
    fields = np.fft.irfft2(np.fft.rfft2(noise) / radius, s=(height, width))
    fields /= fields.std((2, 3), keepdims=True)
    areas = np.round(fields[:, -1:])
    return np.clip(0.5 + 0.12 * fields[:, :-1] + 0.15 * areas, 0, 1).astype(np.float32)
