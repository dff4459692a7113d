"""What an export is compared with PyTorch on: pictures, and the inputs that are known to break exports.

Batches are float32[N,C,H,W] in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nafnet.export.gate.photographs import centre
from nafnet.kept_tile import is_askable, kept_tile
from nafnet.spec import ModelSpec
from nafnet.wire import Batch

Size = tuple[int, int, int]
"""N, H, W."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A named input."""

    name: str
    batch: Batch


def cases(spec: ModelSpec, sizes: Sequence[Size] = (), photographs: Sequence[NDArray[np.float32]] = ()) -> list[Case]:
    """Every input of the gate.

    Args:
        spec: of the artefact: pictures are about as large as its tiles.
        sizes: the smallest, best and largest shape of an engine's profile, each of which is tried; without one,
            a mixture of sizes, fit for a graph of any.
        photographs: float32[C,H,W] of any size; cut to the size of the other pictures.
    """
    height, width = compared_size(spec, sizes)
    shapes = list(dict.fromkeys(sizes)) or _free_shapes(spec, height, width)
    least, most = min(n for n, _, _ in shapes), max(n for n, _, _ in shapes)
    channels, rng = spec.channels, np.random.default_rng(0)
    found = [Case(name=f"picture {n}x{h}x{w}", batch=picture(n, channels, h, w)) for n, h, w in shapes]
    clean = picture(least, channels, height, width)
    noisy = np.clip(clean + rng.normal(0, 0.1, clean.shape), 0, 1)
    found.append(Case(name="noisy picture", batch=noisy.astype(np.float32)))
    # Dark, flat images make released models blow up into colour mosaic when a statistic is off.
    for name, colour in (("dark and flat", (33, 25, 23)), ("black", (0,)), ("saturated", (255,)), ("red", (255, 0, 0))):
        flat = np.resize(np.array(colour, np.float32) / 255, channels)[None, :, None, None]
        batch = np.broadcast_to(flat, (least, channels, height, width)).astype(np.float32)
        found.append(Case(name=name, batch=batch))
    found.append(Case(name="noise", batch=rng.random((least, channels, height, width), np.float32)))
    found.append(Case(name="slope", batch=_slope(least, channels, height, width)))
    if spec.io != "uint8" and spec.precision != "int8":  # neither has a value that is no number
        found.append(Case(name="no number in one", batch=_spoilt(picture(min(most, 3), channels, height, width))))
    if is_askable(spec) and (least == 1 or not sizes):
        found.append(Case(name="kept picture", batch=kept_tile(spec)))
    for index, photograph in enumerate(photographs):
        cut = centre(photograph, channels, height, width)
        found.append(Case(name=f"photograph {index + 1}", batch=np.repeat(cut[None], least, 0)))
    return found


def compared_size(spec: ModelSpec, sizes: Sequence[Size] = ()) -> tuple[int, int]:
    """H and W of most pictures: those of the profile's best shape, of a fixed tile, or about a tile."""
    if sizes:
        return sizes[len(sizes) // 2][1:]
    return (spec.tile, spec.tile) if spec.fixed_shape else picture_size(spec.tile, spec.multiple)


def _free_shapes(spec: ModelSpec, height: int, width: int) -> list[Size]:
    """Of a graph for any batch: several pictures, and where H and W are free as well the smallest size, and one that
    is wider than high and larger than a tile and than local pooling's box."""
    if spec.fixed_shape:
        return [(1, height, width), (3, height, width)]
    multiple, box = spec.multiple, spec.train_patch * 3 // 2
    wide = [max(spec.tile * 5 // 4, box * 9 // 8 if spec.local_pooling else 0), max(spec.tile * 2, box * 5 // 4)]
    high, long = (-(-side // multiple) * multiple for side in wide)
    shapes = [(1, height, width), (3, width, width), (2, multiple, multiple), (1, high, long)]
    return [*shapes, (1, height - 3, width - 5)] if is_padded(spec) else shapes


def is_padded(spec: ModelSpec) -> bool:
    """Whether the graph pads what is no multiple of the network's own."""
    return spec.architecture is not None and not spec.fixed_shape and spec.multiple < spec.architecture.multiple


def _spoilt(batch: Batch) -> Batch:
    """The first picture has a value that is no number: all of that picture, and nothing of the others, is lost."""
    batch[0, 0, batch.shape[2] // 2, batch.shape[3] // 2] = np.nan
    return batch


def profile_sizes(spec: ModelSpec, batch: Sequence[int]) -> tuple[Size, ...]:
    """(N, H, W) of the smallest, best and largest input of an engine: fixed, or up to 1.5 times the training patch."""
    low, best, high = batch
    if spec.fixed_shape:
        return tuple((n, spec.tile, spec.tile) for n in (low, best, high))
    most = -(-max(spec.tile, int(1.5 * spec.train_patch)) // spec.multiple) * spec.multiple
    return ((low, spec.multiple, spec.multiple), (best, spec.tile, spec.tile), (high, most, most))


def picture_size(side: int, multiple: int) -> tuple[int, int]:
    """H and W, not equal, multiples of `multiple`: the side of a tile and five eighths of it."""
    return max(side // multiple, 2) * multiple, max(side * 5 // 8 // multiple, 1) * multiple


def picture(batch: int, channels: int, height: int, width: int) -> Batch:
    """Pictures of a fixed seed: fields with the 1/f spectrum of photographs, cut into areas with sharp borders.

    The second of a batch is dark and the third is bright, and so on, so that none could stand for another.
    """
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = 1
    noise = np.random.default_rng(0).standard_normal((batch, channels + 1, height, width))
    fields = np.fft.irfft2(np.fft.rfft2(noise) / radius, s=(height, width))
    fields /= np.maximum(fields.std((2, 3), keepdims=True), 1e-9)  # one pixel alone varies in nothing
    areas = np.round(fields[:, -1:])
    pictures = np.clip(0.5 + 0.12 * fields[:, :-1] + 0.15 * areas, 0, 1)
    pictures[1::3] *= 0.3
    pictures[2::3] = 0.6 + 0.4 * pictures[2::3]
    return pictures.astype(np.float32)


def _slope(batch: int, channels: int, height: int, width: int) -> Batch:
    """Brighter along both axes, by another measure in each channel: no part of it has the mean of another."""
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    planes = [down ** (1 + channel) * across ** (1 + 0.5 * channel) for channel in range(channels)]
    return np.broadcast_to(np.stack(planes), (batch, channels, height, width)).astype(np.float32)
