"""`--compare`: original and result side by side; asked for at once or later, and in nobody's way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import UsageError
from tests.runtime.conftest import find_jobs, nafnet_run


def test_compared_side_by_side(here: Path, identity_onnx: Path, photograph: NDArray[np.uint8]) -> None:
    done = nafnet_run(here, "--model", identity_onnx, "--compare", "both", "photos", "out")
    assert done.returncode == 0, done.stderr
    for name in ("a-png-compared.jpg", "b-jpg-compared.jpg", "below/c-tif-compared.jpg"):
        with Image.open(here / "both" / name) as image:
            pair = np.asarray(image).astype(int)
        assert pair.shape == (120, 360, 3)
        assert np.abs(pair[:, :180] - photograph).mean() < 4
        assert np.abs(pair[:, :180] - pair[:, 180:]).mean() < 4


def test_what_is_done_is_compared_without_being_restored_again(here: Path, identity_onnx: Path) -> None:
    """A comparison that is asked for later is made of the files: of results without loss, to the bit the same."""
    arguments = ("--model", identity_onnx, "photos", "out")
    assert nafnet_run(here, "--compare", "at-once", *arguments).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in sorted((here / "out").rglob("*.*")) if path.is_file()}
    done = nafnet_run(here, "--compare", "later", *arguments)
    assert done.returncode == 0, done.stderr
    assert b"nothing restored, 3 done before" in done.stdout
    for name in ("a-png-compared.jpg", "below/c-tif-compared.jpg"):
        assert (here / "later" / name).read_bytes() == (here / "at-once" / name).read_bytes()
    assert (here / "later" / "b-jpg-compared.jpg").exists()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.suffix != ".jsonl")


def test_no_two_comparisons_have_one_name(here: Path) -> None:
    """Whatever the endings and names: each has that of its result, ending included."""
    for name in ("a.tif", "a-png.tif", "a.bmp"):
        Image.new("RGB", (20, 20)).save(here / "photos" / name)
    jobs = find_jobs([here / "photos"], here / "out", compare=here / "both")
    assert len({job.compare for job in jobs}) == len(jobs) == 6


@pytest.mark.parametrize(
    ("inputs", "folder", "why"),
    [
        (("photos",), "photos/both", "lies inside the input"),
        (("photos/a.png",), "photos", "would lie beside the photographs"),
        (("photos/a.png", "photos/a-png-compared.jpg"), "out", "would replace .*its output"),
    ],
)
def test_comparisons_stand_in_nobodys_way(here: Path, inputs: tuple[str, ...], folder: str, why: str) -> None:
    Image.new("RGB", (20, 20)).save(here / "photos" / "a-png-compared.jpg")
    with pytest.raises(UsageError, match=why):
        find_jobs([here / name for name in inputs], here / "out", compare=here / folder)
    if "photos" not in inputs and folder == "photos":
        with pytest.raises(UsageError, match=why):
            find_jobs([], here / "out", listed=[here / name for name in inputs], compare=here / folder)


def test_a_strangers_file_is_not_replaced_by_a_comparison(here: Path, identity_onnx: Path) -> None:
    (here / "both").mkdir()
    stranger = here / "both" / "a-png-compared.jpg"
    stranger.write_bytes(b"somebody's")
    done = nafnet_run(here, "--model", identity_onnx, "--compare", "both", "photos", "out")
    assert done.returncode == 0, "the photograph is restored all the same"
    assert (here / "out" / "a.png").exists()
    assert "not compared: both/a-png-compared.jpg is there and was not written from here" in done.stdout.decode()
    assert stranger.read_bytes() == b"somebody's"
    assert (here / "both" / "b-jpg-compared.jpg").exists()
    again = nafnet_run(here, "--model", identity_onnx, "--compare", "both", "--overwrite", "photos", "out")
    assert again.returncode == 0, again.stderr
    assert stranger.read_bytes() != b"somebody's"


@pytest.mark.parametrize("file_format", ["webp", "avif", "png"])
def test_grey_is_compared_alike_at_once_and_later(here: Path, identity_onnx: Path, file_format: str) -> None:
    Image.effect_noise((90, 70), 40).save(here / "grey.png")
    for folder, compare in (("first", ("--compare", "at-once")), ("second", ()), ("second", ("--compare", "later"))):
        done = nafnet_run(here, "--model", identity_onnx, "--format", file_format, "grey.png", folder + "/", *compare)
        assert done.returncode == 0, done.stderr
    name = f"grey-{file_format}-compared.jpg"
    pair = [np.asarray(Image.open(here / folder / name)).astype(int) for folder in ("at-once", "later")]
    assert pair[0].shape == pair[1].shape == (70, 180)
    assert np.abs(pair[0] - pair[1]).max() <= (0 if file_format == "png" else 24), "but for the format's own loss"
