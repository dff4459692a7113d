"""Pictures, and what the system that runs Wine makes of them, for `test_equal` to compare on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

VARIABLE = "NAFNET_REFERENCE"
"""Names the folder to the tests."""
BACKENDS = ("openvino", "onnxruntime")
_SEED = 23


def write_pictures(folder: Path) -> None:
    """photo.png, photo.jpg and photo.tif, of 16 bits: a scene of slopes and edges under noise."""
    import tifffile
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:300, 0:420] / 420
    scene = np.stack([x, (np.hypot(x - 0.5, y - 0.3) < 0.2) * 0.6 + 0.2, 1 - y], 2)
    noisy = np.clip(scene + np.random.default_rng(_SEED).normal(0, 0.1, scene.shape), 0, 1)
    in_8_bits = Image.fromarray((noisy * 255).round().astype(np.uint8))
    in_8_bits.save(folder / "photo.png")
    in_8_bits.save(folder / "photo.jpg", quality=92)
    tifffile.imwrite(folder / "photo.tif", (noisy * 65535).round().astype(np.uint16), photometric="rgb")


def make_reference(folder: Path) -> None:
    """The pictures below `in`, and the results of each backend in a folder of its name.

    Raises:
        subprocess.CalledProcessError: they cannot be restored here.
    """
    write_pictures(folder / "in")
    for backend in BACKENDS:
        words = ["--backend", backend, "--threads", "1", folder / "in", folder / backend]
        program = "from nafnet.runtime.cli import main; main()"
        subprocess.run(
            [sys.executable, "-P", "-c", program, *words], check=True, capture_output=True, text=True,
            cwd=folder, env={**os.environ, "NAFNET_CACHE": str(folder / "cache")},
        )  # fmt: skip
