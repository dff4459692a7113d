"""Folders of photographs as people have them: broken files, files of one name, tiny ones, too many."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.errors import UsageError
from nafnet.export.gate.photographs import MAX_PHOTOGRAPHS, Part, places, read_photographs, read_truth
from tests.export.conftest import nafnet_export

SIZE = (64, 40)


def save(path: Path, height: int = 100, width: int = 90, value: int = 128) -> Path:
    """A flat picture."""
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (width, height), (value,) * 3).save(path)
    return path


def spoil(folder: Path) -> None:
    """A picture cut short, one with a hole in it, one of one pixel, and what is no picture."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8))
    memory = io.BytesIO()
    noise.save(memory, "jpeg")
    whole = memory.getvalue()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "hole.jpg").write_bytes(whole[:3000] + bytes(1500) + whole[4500:])
    save(folder / "one.png", 1, 1)
    (folder / "text.txt").write_text("no picture", encoding="utf-8")
    (folder / "nothing.png").touch()


REASONS = {
    "cut.jpg": r"damaged JPEG .*premature end.*",
    "hole.jpg": r"damaged JPEG .*zeros.*",
    "nothing.png": r"not a PNG, .*the file is empty.*",
    "one.png": r"too small, 1x1, expected at least 16x10",
    "text.txt": r"not a PNG, .*",
}


def test_what_is_skipped_has_a_reason(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    spoil(tmp_path)
    (tmp_path / "below").mkdir()
    found = read_photographs(tmp_path, SIZE)
    assert [used.name for used in found.used] == ["good.png"]
    assert found.used[0].part == Part(top=18, left=25, height=64, width=40)
    reasons = {file.name: file.reason for file in found.skipped}
    assert sorted(reasons) == sorted(REASONS)
    for name, reason in REASONS.items():
        assert re.fullmatch(reason, reasons[name])
        assert str(tmp_path) not in reasons[name]
    (line,) = found.lines()
    assert line.startswith(f"--images {tmp_path}: 1 picture read (the middle 64x40 of it is compared, height x width)")
    assert ", 5 skipped: cut.jpg (damaged JPEG" in line
    assert found.left == 0


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links to nowhere are of other systems")
def test_what_is_no_file_at_all_is_skipped_as_well(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    found = read_photographs(tmp_path, SIZE)
    reasons = {file.name: file.reason for file in found.skipped}
    assert reasons["pipe.png"] == "not a regular file"
    assert "cannot be read" in reasons["link.png"]


def test_without_a_usable_picture_it_says_what_was_there(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(UsageError, match=r"no picture in it can be used \(it is empty\)"):
        read_photographs(photos, SIZE)
    spoil(photos)
    done = nafnet_export("--images", photos, "-o", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    message, *reasons = done.stderr.splitlines()[-len(REASONS) - 1 :]
    assert "no picture in it can be used (5 files skipped; sizes are height x width)" in message
    assert [line.split(":")[0].strip() for line in reasons] == sorted(REASONS)


def test_a_long_list_is_cut_in_lines_and_whole_in_a_report(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02}.txt").write_text("no picture", encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        read_photographs(tmp_path, SIZE)
    assert refused.value.choices[-1] == "and 10 more"
    save(tmp_path / "good.png")
    found = read_photographs(tmp_path, SIZE)
    assert found.lines()[0].endswith(", and 25 more")
    assert len(found.facts()["skipped"]) == 30


def test_what_the_first_eight_leave_is_counted(tmp_path: Path) -> None:
    (tmp_path / "00.txt").write_text("no picture", encoding="utf-8")
    for index in range(1, 12):
        save(tmp_path / f"{index:02}.png")
    found = read_photographs(tmp_path, SIZE)
    assert (len(found.used), len(found.skipped), found.left) == (MAX_PHOTOGRAPHS, 1, 3)
    assert "8 pictures read" in found.lines()[0]
    assert ", 3 further files left: 8 pictures suffice, 1 skipped: 00.txt" in found.lines()[0]


def test_from_a_quarter_of_the_size_a_picture_is_mirrored(tmp_path: Path) -> None:
    for name, height, width in (("a", 16, 10), ("b", 15, 90), ("c", 100, 9), ("d", 64, 40)):
        save(tmp_path / f"{name}.png", height, width)
    found = read_photographs(tmp_path, SIZE)
    assert {used.name: used.mirrored for used in found.used} == {"a.png": True, "d.png": False}
    assert [file.name for file in found.skipped] == ["b.png", "c.png"]
    assert found.lines()[1:] == ["smaller than 64x40, so continued in mirror images: a.png (16x10)"]
    assert "compared" not in found.lines(compared=False)[0]


def test_files_of_one_stem_are_all_used(tmp_path: Path) -> None:
    save(tmp_path / "images" / "china.jpg", value=0)
    save(tmp_path / "images" / "china.png", value=255)
    found = read_photographs(tmp_path / "images", SIZE)
    assert [used.name for used in found.used] == ["china.jpg", "china.png"]
    assert [float(used.planes.mean()) for used in found.used] == [0.0, 1.0]
    save(tmp_path / "truth" / "china.png", value=255)
    with pytest.raises(UsageError, match=r"china.png would be the clean version of both china.jpg and china.png"):
        read_truth(tmp_path / "truth", found)
    save(tmp_path / "truth" / "china.jpg", value=0)
    paired = read_truth(tmp_path / "truth", found)
    assert [used.truth and used.truth.name for used in paired.used] == ["china.jpg", "china.png"]


def test_truth_is_paired_by_name_and_size(tmp_path: Path) -> None:
    images, truth = tmp_path / "images", tmp_path / "truth"
    for path, width, value in (
        (images / "a.png", 90, 255), (images / "b.jpg", 70, 0), (truth / "b.png", 70, 0),
        (truth / "a.png", 90, 255), (truth / "a.tif", 90, 9), (truth / "unrelated.png", 9, 9),
    ):  # fmt: skip
        save(path, 100, width, value)
    (truth / "b.xmp").write_text("notes", encoding="utf-8")
    found = read_photographs(images, SIZE)
    clean = [used.truth for used in read_truth(truth, found).used]
    assert [part.name for part in clean if part] == ["a.png", "b.png"], "the exact name first, then any ending"
    assert [float(part.planes.mean()) for part in clean if part] == [1.0, 0.0]
    assert [file["truth"] for file in read_truth(truth, found).facts()["used"]] == ["a.png", "b.png"]
    (truth / "b.xmp").unlink()
    (truth / "b.png").rename(truth / "b.clean")
    assert [used.truth.name for used in read_truth(truth, found).used if used.truth] == ["a.png", "b.clean"]
    (truth / "b.clean").rename(truth / "b.png")
    save(truth / "b.tif", 100, 70)
    with pytest.raises(UsageError, match=r"b.png and b.tif could both be the clean version of b.jpg"):
        read_truth(truth, found)
    save(truth / "a.png", 100, 91)
    with pytest.raises(UsageError, match="91x100 pixels, its picture in --images has 90x100"):
        read_truth(truth, found)
    for name in ("a.png", "a.tif"):
        (truth / name).unlink()
    with pytest.raises(UsageError, match="no picture named a, of any ending"):
        read_truth(truth, found)
    with pytest.raises(UsageError, match=r"--truth .*not a folder"):
        read_truth(tmp_path / "nowhere", found)


def test_places_are_the_middle_the_darkest_and_the_brightest() -> None:
    photograph = np.full((1, 64 * 3 + 2, 40 * 3 + 5), 0.5, np.float32)
    photograph[:, 1:65, 2:42] = 0.1
    photograph[:, 129:193, 82:122] = 0.9
    found = places(photograph, 3, *SIZE)
    assert {part.shape for part in found} == {(3, *SIZE)}
    assert [float(part.mean()) for part in found] == pytest.approx([0.5, 0.1, 0.9])
    photograph[:, 65:129, 42:82] = 0.0
    assert len(places(photograph, 3, *SIZE)) == 3, "the middle is not taken twice"
    assert [round(float(part.mean()), 2) for part in places(photograph, 3, *SIZE)][1:] == [0.1, 0.9]


@pytest.mark.parametrize(("height", "width", "count"), [(64, 40, 1), (100, 79, 1), (20, 400, 1), (64, 80, 3)])
def test_small_photographs_have_their_middle_alone(height: int, width: int, count: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (3, height, width))
    assert len(places(ramp, 3, *SIZE)) == count
