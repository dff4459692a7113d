"""What an export is compared with PyTorch on: pictures, and the inputs that are known to break exports.

Batches are float32[N,C,H,W] in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import NafnetError, UsageError
from nafnet.images.pixels import WHITE
from nafnet.kept_tile import kept_tile
from nafnet.spec import ModelSpec
from nafnet.wire import Batch

if TYPE_CHECKING:
    from nafnet.images.file import Pixels

Size = tuple[int, int, int]
"""N, H, W."""
# Enough to see what a folder holds; the gate runs each through PyTorch.
MAX_PHOTOGRAPHS = 8


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
    height, width = (spec.tile, spec.tile) if spec.fixed_shape else picture_size(spec.tile, spec.multiple)
    shapes = list(dict.fromkeys(sizes)) or _free_shapes(spec, height, width)
    least, most = min(n for n, _, _ in shapes), max(n for n, _, _ in shapes)
    if sizes:
        _, height, width = sizes[len(sizes) // 2]
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
    if spec.io != "uint8" and spec.precision != "int8":  # neither has a value that is no number
        found.append(Case(name="no number in one", batch=_spoilt(picture(min(most, 3), channels, height, width))))
    if not sizes:
        found.append(Case(name="kept picture", batch=kept_tile(spec)))
    for index, photograph in enumerate(photographs):
        cut = centre(photograph, channels, height, width)
        found.append(Case(name=f"photograph {index + 1}", batch=np.repeat(cut[None], least, 0)))
    return found


def _free_shapes(spec: ModelSpec, height: int, width: int) -> list[Size]:
    """Of a graph for any batch: several pictures, and where H and W are free as well the smallest size, and one that
    is wider than high and larger than a tile and than local pooling's box."""
    if spec.fixed_shape:
        return [(1, height, width), (3, height, width)]
    multiple, box = spec.multiple, spec.train_patch * 3 // 2
    wide = [max(spec.tile * 5 // 4, box * 9 // 8 if spec.local_pooling else 0), max(spec.tile * 2, box * 5 // 4)]
    high, long = (-(-side // multiple) * multiple for side in wide)
    return [(1, height, width), (3, width, width), (2, multiple, multiple), (1, high, long)]


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
    """Pictures of a fixed seed: fields with the 1/f spectrum of photographs, cut into areas with sharp borders."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = 1
    noise = np.random.default_rng(0).standard_normal((batch, channels + 1, height, width))
    fields = np.fft.irfft2(np.fft.rfft2(noise) / radius, s=(height, width))
    fields /= fields.std((2, 3), keepdims=True)
    areas = np.round(fields[:, -1:])
    return np.clip(0.5 + 0.12 * fields[:, :-1] + 0.15 * areas, 0, 1).astype(np.float32)


def read_photographs(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The first `MAX_PHOTOGRAPHS` pictures of a folder by their names without ending: float32[C,H,W].

    Raises:
        UsageError: no such folder, or no picture in it can be read; the message has the last one's reason.
    """
    from nafnet.images.file import read_image  # libvips, which exporting without --images does not need

    if not folder.is_dir():
        raise UsageError(f"--images {folder}: not a folder; expected one with photographs")
    found: dict[str, NDArray[np.float32]] = {}
    reason = "it is empty"
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            pixels = read_image(path).pixels
        except NafnetError as error:
            reason = str(error)
            continue
        found[path.stem] = _planes(pixels)
        if len(found) == MAX_PHOTOGRAPHS:
            break
    if not found:
        raise UsageError(f"--images {folder}: no picture in it can be read ({reason})")
    return found


def read_truth(folder: Path, degraded: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The clean version of each picture, by its name; endings may differ.

    Raises:
        UsageError: one is missing, cannot be read, or is of another size.
    """
    from nafnet.images.file import read_image

    if not folder.is_dir():
        raise UsageError(f"--truth {folder}: not a folder; expected the clean versions of the pictures in --images")
    by_name = {path.stem: path for path in sorted(folder.iterdir()) if path.is_file()}
    found = []
    for name, picture_ in degraded.items():
        if name not in by_name:
            raise UsageError(
                f"--truth {folder}: no picture named {name}; expected the clean version of each in --images"
            )
        try:
            clean = _planes(read_image(by_name[name]).pixels)
        except NafnetError as error:
            raise UsageError(f"--truth: {error}") from error
        if clean.shape[1:] != picture_.shape[1:]:
            sizes = [f"{part.shape[2]}x{part.shape[1]}" for part in (clean, picture_)]
            raise UsageError(f"--truth {by_name[name]}: {sizes[0]} pixels, its picture in --images has {sizes[1]}")
        found.append(clean)
    return found


def _planes(pixels: Pixels) -> NDArray[np.float32]:
    """[H,W,C] as float32[C,H,W] in [0, 1]."""
    peak = np.float32(WHITE[pixels.dtype.name])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / peak


def centre(photograph: NDArray[np.float32], channels: int, height: int, width: int) -> NDArray[np.float32]:
    """The middle of a photograph, mirrored where it is too small: float32[channels,height,width]."""
    missing = [max(want - have, 0) for want, have in zip((height, width), photograph.shape[1:], strict=True)]
    planes = photograph[np.arange(channels) % len(photograph)]  # grey repeated where the model wants RGB
    padded = np.pad(planes, ((0, 0), *((0, gap) for gap in missing)), mode="symmetric")
    top, left = (padded.shape[1] - height) // 2, (padded.shape[2] - width) // 2
    return padded[:, top : top + height, left : left + width]
