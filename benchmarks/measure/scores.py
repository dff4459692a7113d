"""Accuracy on pictures: each backend to PyTorch in the same tiles, both to ground truth, and the tiles' own error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nafnet.benchmarks.pictures import Picture, Pictures
from nafnet.benchmarks.results_file import AccuracyResult, AccuracyRow, ImageScore, TilingRow
from nafnet.difference import MAX_REPORTED_PSNR
from nafnet.errors import BackendError
from nafnet.metrics import plain_scores, psnr, ssim_rgb_gaussian
from nafnet.runtime.backends.base import Backend
from nafnet.tiling import blend_tiles, cut_tiles, plan_tiles

PROTOCOL = "plain: PSNR and SSIM (Gaussian window, by channel) of values clipped to [0, 1]; to PyTorch unclipped"
Image = NDArray[np.float32]
"""[H,W,C]"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """What every backend made of the pictures, by the backend's name."""

    pictures: Pictures
    images: dict[str, list[Image]]
    failed: dict[str, str]
    """Backends that have no images, and why."""


def restore_all(
    backends: Iterable[tuple[str, Backend]], pictures: Pictures, tile: int, overlap: int,
    on_row: Callable[[str], None] = lambda _: None,
) -> Restored:  # fmt: skip
    """Every picture with every backend, in the same tiles; what a backend gives is taken as it is.

    Raises:
        BackendError: the first one, the reference, failed.
    """
    restored = Restored(pictures=pictures, images={}, failed={})
    for name, backend in backends:
        on_row(f"pictures, {name}")
        try:
            restored.images[name] = _restore(backend, pictures.pictures, tile, overlap)
        except BackendError as error:
            if not restored.images:
                raise
            restored.failed[name] = str(error)
    return restored


def accuracy(
    restored: Restored, reference: Backend, *, tile: int, overlap: int, grids: Sequence[tuple[int, int]]
) -> AccuracyResult:
    """All that is to be said of the pictures.

    Args:
        restored: the reference's first.
        tile, overlap: that it was restored in.
        grids: (tile, overlap) whose own error is measured, with the reference alone; those that no picture needs a
            second tile of are left out.
    """
    pictures = restored.pictures.pictures
    names = iter(restored.images.items())
    _, expected = next(names)
    clean = [None if picture.clean is None else _turned(picture.clean) for picture in pictures]
    rows = [_row(name, images, expected, pictures) for name, images in restored.images.items()]
    for row in rows:
        if "truth_psnr" in row:
            row["lost"] = rows[0]["truth_psnr"] - row["truth_psnr"]
    tiling = []
    largest = max(max(picture.degraded.shape[1:]) for picture in pictures)
    grids = [(side, shared) for side, shared in grids if side < largest]
    whole = [_whole(reference, picture) for picture in pictures] if grids else []
    for side, shared in grids:
        tiled = _restore(reference, pictures, side, shared)
        entry = TilingRow(tile=side, overlap=shared, psnr=_psnr(tiled, whole), max_abs=_largest(tiled, whole))
        if truth := _truth_psnr(tiled, clean):
            entry["truth_psnr"] = truth
        tiling.append(entry)
    result = AccuracyResult(
        protocol=PROTOCOL, pictures=restored.pictures.description, tile=tile, overlap=overlap, rows=rows, tiling=tiling
    )
    if whole and (truth := _truth_psnr(whole, clean)):
        result["whole_truth_psnr"] = truth
    return result


def _row(name: str, images: list[Image], expected: list[Image], pictures: Sequence[Picture]) -> AccuracyRow:
    scores = [_score(picture, image, target) for picture, image, target in zip(pictures, images, expected, strict=True)]
    every = np.concatenate([np.abs(image - target).ravel() for image, target in zip(images, expected, strict=True)])
    row = AccuracyRow(
        name=name, images=scores, psnr=_psnr(images, expected),
        ssim=float(np.mean([score["ssim"] for score in scores])),
        max_abs=float(every.max()), p999=float(np.quantile(every, 0.999)),
    )  # fmt: skip
    if all("truth_psnr" in score for score in scores):
        row["truth_psnr"] = float(np.mean([score["truth_psnr"] for score in scores]))
        row["truth_ssim"] = float(np.mean([score["truth_ssim"] for score in scores]))
    return row


def _score(picture: Picture, image: Image, expected: Image) -> ImageScore:
    error = np.abs(image - expected)
    score = ImageScore(
        image=picture.name, psnr=_psnr([image], [expected]), ssim=ssim_rgb_gaussian(image, expected, peak=1.0),
        max_abs=float(error.max()), p999=float(np.quantile(error, 0.999)),
    )  # fmt: skip
    if picture.clean is not None:
        score["truth_psnr"], score["truth_ssim"] = _to_truth(image, _turned(picture.clean))
    return score


def _restore(backend: Backend, pictures: Sequence[Picture], tile: int, overlap: int) -> list[Image]:
    """Not by a `Restorer`, which runs a tile once more elsewhere where the result cannot be true."""
    images = []
    for picture in pictures:
        channels, height, width = picture.degraded.shape
        plan = plan_tiles(height, width, tile=tile, overlap=overlap, multiple=backend.model.spec.multiple)
        restored = (backend(np.ascontiguousarray(part[None]))[0] for part in cut_tiles(picture.degraded, plan))
        images.append(_turned(blend_tiles(restored, plan, channels)))
        if not np.isfinite(images[-1]).all():
            raise BackendError(f"what it makes of '{picture.name}' is not finite")
    return images


def _whole(backend: Backend, picture: Picture) -> Image:
    """Padded to the network's multiple as its authors do, with zeros, and cut."""
    multiple = backend.model.spec.multiple
    height, width = picture.degraded.shape[1:]
    missing = [(0, -side % multiple) for side in (height, width)]
    restored = backend(np.pad(picture.degraded, ((0, 0), *missing))[None])
    return _turned(restored[0, :, :height, :width])


def _turned(planes: NDArray[np.float32]) -> Image:
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _psnr(images: Sequence[Image], expected: Sequence[Image]) -> float:
    joined = [np.concatenate([each.ravel() for each in side]) for side in (images, expected)]
    return min(psnr(joined[0], joined[1], peak=1.0), MAX_REPORTED_PSNR)


def _to_truth(image: Image, clean: Image) -> tuple[float, float]:
    """PSNR, of which a picture restored to the bit has none, and SSIM."""
    found, similarity = plain_scores(image, clean)
    return min(found, MAX_REPORTED_PSNR), similarity


def _largest(images: Sequence[Image], expected: Sequence[Image]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(images, expected, strict=True))


def _truth_psnr(images: Sequence[Image], clean: Sequence[Image | None]) -> float | None:
    pairs = [(image, target) for image, target in zip(images, clean, strict=True) if target is not None]
    if len(pairs) < len(images):
        return None
    return float(np.mean([_to_truth(image, target)[0] for image, target in pairs]))


def differences(restored: Restored) -> Mapping[str, list[Image]]:
    """Absolute differences to the reference, by backend."""
    _, expected = next(iter(restored.images.items()))
    return {
        name: [np.abs(image - target) for image, target in zip(images, expected, strict=True)]
        for name, images in restored.images.items()
    }
