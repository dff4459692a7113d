"""A picture whose rows do not fit the room that is kept for them: they go to the disk, and nothing of them stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.runtime.conftest import nafnet_run

HEIGHT, WIDTH = 7000, 7500  # 150 MiB


def test_150_mebibytes(tmp_path: Path, identity_onnx: Path) -> None:
    rows = (np.arange(HEIGHT)[:, None] // 28).astype(np.uint8)
    picture = np.repeat(np.repeat(rows, WIDTH, 1)[..., None], 3, 2)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "large.png", compress_level=1)
    done = nafnet_run(tmp_path, "--model", identity_onnx, "--tile", "1024", "in", "out")
    assert done.returncode == 0, done.stderr.decode()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == ["large.png"]
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(tmp_path / "out" / "large.png") as image:
        assert np.array_equal(np.asarray(image), picture)
