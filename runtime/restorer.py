"""`Restorer`: arrays in, restored arrays out. Tiles, batches and the conversion of pixels happen here."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar, cast

import numpy as np
from nafnet.runtime.backends import backend_class, choose
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.model_source import open_model
from numpy.typing import NDArray

from nafnet.errors import BackendError, ModelError, UsageError
from nafnet.tiling import Planes, blend_tiles, check_tile, cut_tiles, plan_tiles

Pixels = TypeVar("Pixels", bound=NDArray[np.generic])


@dataclasses.dataclass(kw_only=True)
class Work:
    """What one restoration took."""

    tiles: int = 0
    infer_seconds: float = 0.0
    """Time inside the backend alone."""


class Restorer:
    """Restores images of any size with one model on one backend.

    Make one with `load`; use it as a context manager, or call `close`. It serves one thread at a time.
    """

    def __init__(self, backend: Backend, *, tile: int, overlap: int, batch: int) -> None:
        check_tile(tile, overlap, backend.model.spec.multiple)
        if backend.model.spec.channels not in (1, 3):
            raise ModelError(
                f"{backend.model.path}: takes {backend.model.spec.channels} channels; photographs have 1 or 3"
            )
        self.backend, self.tile, self.overlap, self.batch = backend, tile, overlap, batch
        self.spec = backend.model.spec

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        batch: int | None = None,
        threads: int | None = None,
    ) -> Self:
        """Load a model.

        Args:
            model: an ONNX file, or a checkpoint (.safetensors, .pth), which is exported once and cached; None is
                the bundled denoiser.
            backend: openvino, onnxruntime, torch, or auto for the fastest that is installed.
            tile: largest side of a tile in pixels; the model's own choice by default.
            overlap: fewest pixels that neighbouring tiles share; the model's own choice by default.
            batch: tiles to run at once; the backend's own choice by default.
            threads: CPU threads; all cores by default.

        Raises:
            NafnetError: the model or the backend cannot be used; one line says why.
        """
        name = choose(backend)
        kind = backend_class(name)
        opened = open_model(model, name)
        side = opened.spec.tile if tile is None else tile
        if opened.spec.fixed_shape and side != opened.spec.tile:
            raise UsageError(f"--tile {side}: {opened.path.name} was exported for tiles of {opened.spec.tile} alone")
        shared = min(opened.spec.overlap, side // 4) if overlap is None else overlap
        check_tile(side, shared, opened.spec.multiple)
        restorer = cls(kind(opened, threads), tile=side, overlap=shared, batch=batch or kind.default_batch)
        restorer._probe()
        return restorer

    def restore(self, pixels: Pixels) -> Pixels:
        """Restore an image: [H,W] or [H,W,C], C 1 (grey) or 3 (RGB); the result has its shape and dtype.

        Args:
            pixels: uint8 or uint16 over its full range, or float32 in [0, 1].

        Returns:
            The restored image; integers are clipped and rounded, floats are neither.

        Raises:
            UsageError: another shape or dtype, or an empty image.
            BackendError: the backend failed, or the result is not finite.
        """
        return self.restore_counted(pixels, Work())

    def restore_counted(self, pixels: Pixels, work: Work, on_tiles: Callable[[float], None] | None = None) -> Pixels:
        """`restore` that adds to `work`, and calls `on_tiles` with the share of the image each batch finished."""
        planes = self._to_planes(pixels)
        if self.spec.io == "uint8" and pixels.dtype != np.uint8:
            raise UsageError(
                f"image of {pixels.dtype}; this model takes and gives 8 bits (--io uint8) and would lose the rest: "
                "use an export with --io float32"
            )
        height, width = planes.shape[1:]
        groups = planes[:, None] if self.spec.channels == 1 else planes[None]
        plan = plan_tiles(height, width, tile=self.tile, overlap=self.overlap, multiple=self.spec.multiple)

        def run(tiles: Iterator[Planes]) -> Iterator[Planes]:
            while batch := list(itertools.islice(tiles, self.batch)):
                stacked = np.stack(batch)
                started = time.perf_counter()
                restored = self.backend(stacked)
                work.infer_seconds += time.perf_counter() - started
                work.tiles += len(batch)
                if not np.isfinite(restored).all():
                    raise BackendError(f"{self.backend.name}: the model gave values that are not finite")
                if on_tiles:
                    on_tiles(len(batch) / (plan.count * len(groups)))
                yield from restored

        images = [blend_tiles(run(cut_tiles(group, plan)), plan, self.spec.channels) for group in groups]
        return _from_planes(np.concatenate(images), pixels)

    def _to_planes(self, pixels: NDArray[np.generic]) -> Planes:
        """float32[C,H,W] in [0, 1], grey repeated where the model wants RGB."""
        shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
        if pixels.ndim not in (2, 3) or shape[2] not in (1, 3) or 0 in shape:
            raise UsageError(f"image of shape {list(pixels.shape)}; expected [H,W], [H,W,1] or [H,W,3]")
        scale = _scale(pixels.dtype)
        planes = np.ascontiguousarray(pixels.reshape(shape).transpose(2, 0, 1), np.float32)
        planes = planes if scale == 1 else planes * np.float32(1 / scale)
        return np.repeat(planes, 3, 0) if shape[2] == 1 and self.spec.channels == 3 else planes

    def _probe(self) -> None:
        """Run the smallest tile once: a model that is no image-to-image one fails here, not on every file."""
        side = self.spec.multiple
        try:
            self.backend(np.zeros((1, self.spec.channels, side, side), np.float32))
        except BackendError as error:
            self.close()
            raise ModelError(f"{error}; expected a model that gives an image of its input's size") from error

    def close(self) -> None:
        """Free the backend's memory."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _scale(dtype: np.dtype[np.generic]) -> int:
    """What 1.0 is in `dtype`."""
    scales = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}
    if dtype not in scales:
        raise UsageError(f"image of {dtype}; expected uint8, uint16 or float32")
    return scales[dtype]


def _from_planes(planes: Planes, like: Pixels) -> Pixels:
    """float32[C,H,W] in the shape and dtype of `like`; RGB is averaged where `like` is grey. May overwrite `planes`."""
    grey = like.ndim == 2 or like.shape[2] == 1
    if grey and planes.shape[0] == 3:
        planes = planes.mean(0, keepdims=True, dtype=np.float32)
    scale = _scale(like.dtype)
    if scale != 1:
        planes *= np.float32(scale)
        np.clip(np.rint(planes, out=planes), 0, scale, out=planes)
    pixels = np.ascontiguousarray(planes.transpose(1, 2, 0)).astype(like.dtype, copy=False)
    return cast(Pixels, pixels.reshape(like.shape))
