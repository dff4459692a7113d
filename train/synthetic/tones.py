"""Between a picture's tones and linear light: the sRGB curve, and the contrast that a camera's tone curve adds.

Images are float32[H,W,3] in [0, 1]; source of the sRGB curve is IEC 61966-2-1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def to_linear(tones: Image) -> Image:
    """Linear light of sRGB tones."""
    curved = ((tones + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(tones > 0.04045, curved, tones / np.float32(12.92)).astype(np.float32)


def to_tones(linear: Image) -> Image:
    """sRGB tones of linear light."""
    curved = np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear > 0.0031308, curved, np.float32(12.92) * linear).astype(np.float32)


def contrasted(tones: Image, contrast: float) -> Image:
    """Tones on an S-curve through 0, 1/2 and 1, whose slope in the middle is `contrast`; 1/contrast takes it back."""
    if contrast == 1:
        return tones
    bright, dark = (part ** np.float32(contrast) for part in (tones, np.float32(1) - tones))
    return (bright / (bright + dark)).astype(np.float32, copy=False)
