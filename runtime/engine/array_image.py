"""An image in memory, as the events that the engine takes, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import BackendError, NafnetError, UsageError
from nafnet.images.pixels import WHITE
from nafnet.runtime.engine.events import Band, Closed, Event, Item, Layout, Opened, State
from nafnet.runtime.engine.look import WHOLE, Look

MOST_MEAN = 2.0
"""Of a float image: not even a bright HDR picture has a mean so far above white, and one from 0 to 255 has."""


class _ArrayItem(Item):
    """Keeps the error that counts, to be raised."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def fail(self, error: Exception) -> bool:
        first = super().fail(error)
        if first:
            self.error = error
        return first


class ArrayImage:
    """An array to restore; what fails is raised.

    Args:
        pixels: [H,W] or [H,W,C], C 1 (grey) or 3 (RGB); uint8 or uint16 over its full range, or float32 with white
            at 1.
        looks: how much of the model's work is taken, in each of the results.

    Raises:
        UsageError: another shape, dtype or range, or an empty image.
    """

    def __init__(self, pixels: NDArray[np.generic], looks: Sequence[Look] = (WHOLE,)) -> None:
        if not isinstance(pixels, np.ndarray):
            raise UsageError(f"{type(pixels).__name__}; expected a NumPy array")
        shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
        if pixels.ndim not in (2, 3) or shape[2] not in (1, 3) or 0 in shape:
            raise UsageError(f"image of shape {list(pixels.shape)}; expected [H,W], [H,W,1] or [H,W,3]")
        if pixels.dtype.name not in WHITE:
            raise UsageError(f"image of {pixels.dtype}; expected uint8, uint16 or float32")
        if pixels.dtype == np.float32 and MOST_MEAN < (mean := float(pixels.mean(dtype=np.float64))) < math.inf:
            raise UsageError(
                f"image of float32 with a mean of {mean:.4g}; expected values in [0, 1]: divide by 255 or 65535 first"
            )
        self._rows: NDArray[Any] = pixels.reshape(shape)
        self._looks = tuple(looks)
        self._item = _ArrayItem()

    def events(self) -> Iterator[Event[_ArrayItem]]:
        """The image as the stages take it, from the start."""
        height, width, channels = self._rows.shape
        kind: Any = self._rows.dtype.name
        layout = Layout(
            height=height, width=width, channels=channels, alpha=False, given=kind, wanted=kind, looks=self._looks
        )
        self._item.begin()
        yield from (Opened(self._item, layout), Band(self._item, self._rows), Closed(self._item))

    def collect(self, restored: Iterator[Event[_ArrayItem]]) -> list[NDArray[Any]] | None:
        """The restored image [H,W,C] in each of its looks, or None where it is to be fed once more.

        Raises:
            NafnetError: it could not be restored.
        """
        images, done = [np.empty(self._rows.shape, self._rows.dtype) for _ in self._looks], 0
        for event in restored:
            if isinstance(event, Band):
                for image, rows in zip(images, event.results, strict=True):
                    image[done : done + len(rows)] = rows
                done += len(event.rows)
        error = self._item.error
        if error is not None:
            raise error if isinstance(error, NafnetError) else BackendError(str(error)) from error
        return None if self._item.state is State.AGAIN else images
