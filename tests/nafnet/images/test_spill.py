"""Images that wait on the disk: their parts are read, closed and removed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from nafnet.errors import ImageError, OutputError
from nafnet.images import vips, writer
from nafnet.images.header import Header
from nafnet.images.spill import PART_BYTES
from nafnet.images.writer import ImageWriter
from nafnet.system import SYSTEM

SIDE = 1024
ROWS = 3 * PART_BYTES // (SIDE * 3) // 8


@pytest.fixture
def spilled(monkeypatch: pytest.MonkeyPatch) -> Header:
    """Of an image that takes three parts."""
    monkeypatch.setattr(writer, "MEMORY_LIMIT", 2**20)
    monkeypatch.setattr("nafnet.images.spill.PART_BYTES", PART_BYTES // 8)
    return Header(
        width=SIDE, height=ROWS, format="tiff", channels=3, alpha=False, pixel_type="uint8", bits=8, lossless=True
    )


def open_files() -> int:
    process = psutil.Process()
    return process.num_fds() if hasattr(process, "num_fds") else len(process.open_files())


def test_nothing_stays_open_after_large_images(spilled: Header, tmp_path: Path) -> None:
    """What is open keeps its room on the disk, and on Windows its name as well."""
    noise = np.random.default_rng(0).integers(0, 256, (ROWS, SIDE, 3), np.uint8)
    before, counts = open_files(), []
    for index in range(10):
        path = tmp_path / f"{index}.tiff"
        with ImageWriter(path, spilled) as written:
            for rows in np.array_split(noise, 5):
                written.write(rows)
            assert len(list(tmp_path.glob(".*.raw.partial"))) >= 2
            written.finish()
        counts.append(open_files())
        assert np.array_equal(np.asarray(Image.open(path)), noise)
    assert counts == [before] * 10
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"{index}.tiff" for index in range(10)]


def explained(words: str, folder: Path, header: Header) -> type[Exception]:
    with ImageWriter(folder / "a.tiff", header) as made:
        return type(made._explained(vips.pyvips.Error("unable to write", words)))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (f"write failed: {os.strerror(errno.ENOSPC)}", OutputError),
        (f"{os.strerror(errno.EROFS).lower()}", OutputError),
        ("write failed: Unknown error", ImageError),
        ("Unknown error 69 at tile 3", ImageError),
        ("bad quantisation table", ImageError),
    ],
)
def test_a_full_disk_ends_the_run_and_other_words_one_file(
    words: str, kind: type[Exception], spilled: Header, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the C library has no words for one of the numbers, as Windows' for a quota, those are not looked for."""
    unworded = 123_456
    monkeypatch.setattr(SYSTEM, "full_disk", (*SYSTEM.full_disk, unworded))
    assert os.strerror(unworded).startswith("Unknown error")
    assert explained(words, tmp_path, spilled) is kind
