"""The contact sheet of several strengths: as many parts as there should be, of the right place and colours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nafnet.errors import NafnetError
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.region import LARGEST_HEIGHT, LARGEST_WIDTH, most_changed
from nafnet.runtime.folder.settings import Limits
from nafnet.runtime.folder.sheet import GAP, LABEL, write_sheet
from tests.nafnet.images.colour.profiles import P3, gamma_curve, grey_profile, matrix_profile
from tests.runtime.conftest import nafnet_run


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder(Limits()) as decoder:
        yield decoder


def parts_of(sheet: NDArray[np.uint8], width: int) -> list[NDArray[np.int64]]:
    """Where each part of a width should be, and nothing else."""
    count, left = divmod(sheet.shape[1] - GAP, width + GAP)
    assert left == 0
    ground = sheet[:GAP].astype(int)
    assert np.abs(ground - 32).max() < 6
    starts = [GAP + index * (width + GAP) for index in range(count)]
    for start in starts:
        assert np.abs(sheet[GAP + LABEL : -GAP, start - GAP + 2 : start - 2].astype(int) - 32).max() < 40
        assert (sheet[GAP : GAP + LABEL, start : start + width] > 180).any(), "it has a name"
    return [sheet[GAP + LABEL : -GAP, start : start + width].astype(int) for start in starts]


def opened(path: Path, mode: str = "RGB") -> NDArray[np.uint8]:
    """In sRGB, by Pillow and lcms."""
    with Image.open(path) as image:
        if profile := image.info.get("icc_profile"):
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            wanted = ImageCms.createProfile("sRGB")
            return np.asarray(ImageCms.profileToProfile(image, given, wanted, outputMode="RGB"))
        return np.asarray(image.convert(mode))


def test_the_place_that_changed_most_of_the_original_and_of_each(tmp_path: Path, decoder: Decoder) -> None:
    before = np.random.default_rng(0).integers(100, 116, (800, 1500, 3), np.uint8)
    files: dict[Path, float] = {}
    for strength, change in ((0.25, 15), (1.0, 60), (0.0, 0)):
        after = before.copy()
        after[500:548, 900:996] += np.uint8(change)
        Image.fromarray(after).save(tmp_path / f"{strength}.png")
        files[tmp_path / f"{strength}.png"] = strength
    Image.fromarray(before).save(tmp_path / "photo.png")
    write_sheet(tmp_path / "sheet.jpg", tmp_path / "photo.png", files, decoder)
    left, top = most_changed(tmp_path / "photo.png", tmp_path / "1.0.png", decoder)
    assert (left, top) != (0, 0)
    shown = parts_of(opened(tmp_path / "sheet.jpg"), LARGEST_WIDTH)
    assert len(shown) == 4
    for part, path in zip(shown, (tmp_path / "photo.png", *files), strict=True):
        expected = opened(path)[top : top + LARGEST_HEIGHT, left : left + LARGEST_WIDTH]
        assert part.shape == expected.shape
        assert np.abs(part - expected).mean() < 3, "pixel by pixel"


def test_what_does_not_fit_is_said(tmp_path: Path, decoder: Decoder) -> None:
    for name, size in (("photo.png", (60, 50)), ("other.png", (61, 50))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(NafnetError, match="60x50 pixels, and its result has 61x50"):
        write_sheet(tmp_path / "sheet.jpg", tmp_path / "photo.png", {tmp_path / "other.png": 1.0}, decoder)
    assert not (tmp_path / "sheet.jpg").exists()


def test_in_the_colours_of_the_photograph(photograph: NDArray[np.uint8], mixing_onnx: Path, tmp_path: Path) -> None:
    """Of a wide gamut with its profile, of linear light as sRGB, and of grey as grey."""
    folder = tmp_path / "in"
    folder.mkdir()
    wide, grey = matrix_profile(P3, gamma_curve(1.8)), grey_profile(gamma_curve(1.8))
    Image.fromarray(photograph).save(folder / "wide.png", icc_profile=wide)
    Image.fromarray(photograph[:, :, 0]).save(folder / "grey.png", icc_profile=grey)
    encoded = np.clip(photograph / 255, 0.05, 1)
    light = ((encoded + 0.055) / 1.055) ** 2.4
    tifffile.imwrite(folder / "light.tif", light.astype(np.float32), photometric="rgb")
    done = nafnet_run(tmp_path, "--threads", "1", "--model", mixing_onnx, "--strength", "1,0", "in", "out")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "wide-png-strengths.jpg") as image:
        assert image.info["icc_profile"] == wide
    with Image.open(tmp_path / "out" / "grey-png-strengths.jpg") as image:
        assert (image.mode, image.info["icc_profile"]) == ("L", grey)
    for name in ("wide", "grey"):
        shown = parts_of_colours(tmp_path / "out" / f"{name}-png-strengths.jpg")
        names = (folder / f"{name}.png", *(tmp_path / "out" / f"{name}-strength-{each}.png" for each in (1, 0)))
        for part, path in zip(shown, names, strict=True):
            assert np.abs(part - opened(path)).mean() < 3
    shown = parts_of(opened(tmp_path / "out" / "light-tif-strengths.jpg"), 180)
    for part in (shown[0], shown[2]):
        assert np.abs(part - encoded * 255).mean() < 3


def parts_of_colours(path: Path) -> list[NDArray[np.int64]]:
    """In sRGB; where the parts are is seen in the values as they are."""
    with Image.open(path) as image:
        parts_of(np.atleast_3d(np.asarray(image)), 180)
    sheet = opened(path).astype(int)
    return [sheet[GAP + LABEL : -GAP, start : start + 180] for start in range(GAP, sheet.shape[1] - GAP, 180 + GAP)]


def test_a_small_picture_has_its_name_all_the_same(tmp_path: Path, decoder: Decoder) -> None:
    Image.new("RGB", (5, 5), (200, 90, 40)).save(tmp_path / "photo.png")
    write_sheet(tmp_path / "sheet.jpg", tmp_path / "photo.png", {tmp_path / "photo.png": 0.5}, decoder)
    with Image.open(tmp_path / "sheet.jpg") as image:
        assert image.width > 3 * GAP + 2 * 60
        assert image.height == 2 * GAP + LABEL + 5
        sheet = np.asarray(image).astype(int)
    assert np.abs(sheet[GAP + LABEL + 1 : -GAP - 1, GAP + 1 : GAP + 4] - (200, 90, 40)).max() < 12
