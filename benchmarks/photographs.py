"""The sample photographs that scikit-image and scikit-learn install; no model here was trained on any of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nafnet.errors import MissingExtraError

Photograph = NDArray[np.uint8]
NAMES = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")


def photographs() -> Iterator[tuple[str, Photograph]]:
    """(name, uint8[H,W,3] RGB) of each of `NAMES`.

    Raises:
        MissingExtraError: the libraries that bring them are not installed.
    """
    try:
        import skimage.data
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise MissingExtraError(str(error.name), "demo") from error
    for name in NAMES:
        if name in ("china", "flower"):
            yield name, np.ascontiguousarray(load_sample_image(f"{name}.jpg"))
        else:
            yield name, np.ascontiguousarray(getattr(skimage.data, name)())


def with_gaussian_noise(clean: Photograph, sigma: float, seed: int) -> NDArray[np.float32]:
    """float32[H,W,3], `clean` in [0, 1] with Gaussian noise of `sigma`/255, not clipped."""
    noise = np.random.default_rng(seed).normal(0, sigma / 255, clean.shape)
    return (clean / 255 + noise).astype(np.float32)


def in_unit_range(photograph: Photograph) -> NDArray[np.float32]:
    """float32 in [0, 1] of uint8."""
    return (photograph / np.float32(255)).astype(np.float32)


def as_8bit(image: NDArray[np.float32]) -> Photograph:
    """What an 8-bit file holds of `image`: clipped to [0, 1] and rounded."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
