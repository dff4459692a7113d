"""An image in memory, as a thing that flows through the stages like a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import BackendError, NafnetError, UsageError
from nafnet.images.formats import WHITE, Header
from nafnet.runtime.engine.events import Band, Closed, Event, Item, Opened
from nafnet.runtime.folder.discovery import Job
from nafnet.runtime.folder.report import FileReport


class ArrayImage(Item):
    """An item that is no file: its error is raised, not reported.

    Args:
        pixels: [H,W] or [H,W,C], C 1 (grey) or 3 (RGB); uint8, uint16 or float32.

    Raises:
        UsageError: another shape or dtype, or an empty image.
    """

    def __init__(self, pixels: NDArray[np.generic]) -> None:
        if not isinstance(pixels, np.ndarray):
            raise UsageError(f"{type(pixels).__name__}; expected a NumPy array")
        shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
        if pixels.ndim not in (2, 3) or shape[2] not in (1, 3) or 0 in shape:
            raise UsageError(f"image of shape {list(pixels.shape)}; expected [H,W], [H,W,1] or [H,W,3]")
        if pixels.dtype.name not in WHITE:
            raise UsageError(f"image of {pixels.dtype}; expected uint8, uint16 or float32")
        job = Job(source=Path("array"), target=Path("array"))
        super().__init__(job=job, report=FileReport.of(job), on_done=lambda _: None)
        self._rows: NDArray[Any] = pixels.reshape(shape)
        self._failure: NafnetError | None = None

    def fail(self, error: Exception) -> None:
        """Keep the first error, to be raised."""
        super().fail(error)
        self._failure = self._failure or (error if isinstance(error, NafnetError) else BackendError(str(error)))

    def events(self) -> Iterator[Event]:
        """The image as the stages take it."""
        height, width, channels = self._rows.shape
        kind: Any = self._rows.dtype.name
        header = Header(
            width=width, height=height, format="tiff", channels=channels, alpha=False, pixel_type=kind,
            bits=8 * self._rows.itemsize, lossless=True, metadata={},
        )  # fmt: skip
        yield from (Opened(self, header), Band(self, self._rows), Closed(self))

    def collect(self, restored: Iterator[Event]) -> NDArray[Any] | None:
        """The restored image [H,W,C], or None where it is to be fed once more.

        Raises:
            NafnetError: it could not be restored.
        """
        self.again = False
        bands = [event.rows for event in restored if isinstance(event, Band)]
        if self._failure:
            raise self._failure
        return None if self.again else np.concatenate(bands)
