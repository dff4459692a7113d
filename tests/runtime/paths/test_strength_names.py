"""What the results of several strengths are called: no two alike, none in the way of a photograph."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from nafnet.errors import UsageError
from tests.runtime.conftest import find_jobs


def test_a_photograph_with_the_name_of_a_result(here: Path) -> None:
    """Into a folder of their own both are restored; beside the photographs one would replace the other."""
    photos = here / "photos"
    for name in ("b-strength-1.jpg", "b-strengths.jpg"):
        shutil.copy(photos / "b.jpg", photos / name)
    jobs = find_jobs([photos], here / "out", strengths=(0.0, 1.0))
    assert len({path for job in jobs for path in (job.target, job.sheet) if path}) == 3 * len(jobs) // 2 == 15
    for name, other in (("b-strength-1.jpg", "its output"), ("b-strengths.jpg", "its contact sheet")):
        with pytest.raises(UsageError, match=f"{other} .*{name} would replace the input .*{name}"):
            find_jobs([photos / "b.jpg", photos / name], photos, strengths=(0.0, 1.0))
    shutil.copy(photos / "a.png", photos / "b-png.jpg")
    shutil.copy(photos / "a.png", photos / "b.png")
    with pytest.raises(UsageError, match=r"its contact sheet .*b-png-strengths.jpg would replace .*; choose another"):
        find_jobs([photos], here / "out", strengths=(0.0, 1.0))


def test_names_that_are_too_long_are_cut(tmp_path: Path) -> None:
    for end in "xy":
        Image.new("RGB", (20, 20)).save(tmp_path / f"{'n' * 250}{end}.jpg")
    jobs = find_jobs([tmp_path], tmp_path.parent / "out", strengths=(0.0, 0.25))
    names = [path.name for job in jobs for path in (job.target, job.sheet) if path]
    assert len(set(names)) == 6
    assert max(map(len, names)) == 255
