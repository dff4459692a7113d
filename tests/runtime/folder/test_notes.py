"""What is lost or damaged is said, by the file and in short; nothing is lost in silence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.runtime.folder.report import FileReport, notes_in_short
from tests.runtime.conftest import nafnet_run


def encoded(picture: NDArray[np.uint8], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", quality=95, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def with_a_gap(data: bytes) -> bytes:
    """400 bytes of its compressed part are missing."""
    middle = len(data) // 2
    return data[:middle] + data[middle + 400 :]


def with_hole(data: bytes) -> bytes:
    """400 bytes of zeros, as an unwritten block of a card leaves them."""
    middle = len(data) // 2
    return data[:middle] + bytes(400) + data[middle + 400 :]


def turned(data: bytes) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(data)).save(stream, "jpeg", quality=95, exif=exif)
    return with_a_gap(stream.getvalue())


@pytest.mark.parametrize("damage", [with_a_gap, with_hole, turned])
def test_a_damaged_jpeg_that_decodes_says_so(
    damage: Callable[[bytes], bytes], here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]
) -> None:
    (here / "photos" / "b.jpg").write_bytes(damage(encoded(photograph)))
    common = ("--model", identity_onnx, "photos")
    ended = nafnet_run(here, *common, "out", "--report", "report.json")
    assert ended.returncode == 0, ended.stderr
    rows = {Path(row["input"]).name: row for row in json.loads((here / "report.json").read_bytes())["files"]}
    assert [name for name, row in rows.items() if row["notes"]] == ["b.jpg"]
    (note,) = rows["b.jpg"]["notes"]
    assert note.startswith("damaged: ")
    assert f"b.jpg: {note}" in ended.stdout.decode()
    assert (here / "out" / "b.jpg").exists()
    strict = nafnet_run(here, *common, "strict", "--strict")
    assert strict.returncode == 1
    assert b"b.jpg: damaged JPEG (" in strict.stderr
    assert {path.name for path in (here / "strict").rglob("*.*") if path.is_file()} >= {"a.png", "c.tif"}
    assert not (here / "strict" / "b.jpg").exists()


def test_zeros_that_an_encoder_wrote_are_no_damage(here: Path, identity_onnx: Path) -> None:
    """A flat picture whose shortest codes mean "as before": hundreds of zeros in a row."""
    flat = np.full((512, 2048), 128, np.uint8)
    data = encoded(flat, optimize=True)
    assert bytes(64) in data
    (here / "photos" / "b.jpg").write_bytes(data)
    ended = nafnet_run(here, "--model", identity_onnx, "photos", "out", "--strict")
    assert ended.returncode == 0, ended.stderr
    assert b"damaged" not in ended.stdout


def test_a_quality_means_a_loss(here: Path, identity_onnx: Path) -> None:
    """PNG and TIFF become WebP without loss, unless a quality is asked for."""
    for options, chunk in (([], b"VP8L"), (["--quality", "10"], b"VP8 ")):
        folder = f"out{len(options)}"
        ended = nafnet_run(here, "--model", identity_onnx, "photos/a.png", folder, "--format", "webp", *options)
        assert ended.returncode == 0, ended.stderr
        assert chunk in (here / folder / "a.webp").read_bytes()[:64]


def test_what_is_lost_is_said_once_for_all(here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    for name in ("b.jpg", "d.jpg"):
        (here / "photos" / name).write_bytes(encoded(photograph, comment=b"by me"))
    ended = nafnet_run(here, "--model", identity_onnx, "photos", "out", "--format", "webp", "--depth", "8")
    assert ended.returncode == 0, ended.stderr
    assert "2 files: comment not kept: WEBP has no place for it" in ended.stdout.decode().splitlines()


def test_many_kinds_of_notes_are_a_few_lines() -> None:
    rows = [
        FileReport(input="a", output=f"out/{index}", status="restored", notes=["often", f"note {index}"])
        for index in range(9)
    ]
    lines = notes_in_short(rows)
    assert lines[:2] == ["9 files: often", "out/0: note 0"]
    assert lines[-1] == "and 5 other notes; --report has all of them"
    assert len(lines) == 6


def test_the_comparison_has_the_profile(here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    from tests.nafnet.images.metadata.sources import PROFILE

    (here / "photos" / "b.jpg").write_bytes(encoded(photograph, icc_profile=PROFILE))
    for _ in range(2):  # with the result, and of files that were restored before
        ended = nafnet_run(here, "--model", identity_onnx, "photos/b.jpg", "out", "--compare", "pairs")
        assert ended.returncode == 0, ended.stderr
        (pair,) = (here / "pairs").iterdir()
        with Image.open(pair) as image:
            assert image.info["icc_profile"] == PROFILE
        pair.unlink()
