"""Colours that a file names in numbers alone (nclx), or by a profile of grey, where a format has no place for them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from nafnet.images.file import read_header
from nafnet.runtime import Encoding, Look, Restorer, restore_file
from tests.nafnet.images.colour.profiles import P3, SRGB, gamma_curve, grey_profile, to_xyz
from tests.runtime.folder.test_colours import BT2020, Floats, from_light, pq, to_light

PRIMARIES = {1: SRGB, 9: BT2020, 12: P3}
TONES = {13: from_light, 16: lambda light: pq(203 * light)}


@pytest.fixture(scope="module")
def restorer() -> Iterator[Restorer]:
    with Restorer.load(threads=1) as loaded:
        yield loaded


def picture() -> Floats:
    """sRGB, float[48,64,3], smooth."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x / 80 + 0.1, y / 60 + 0.1, (x + y) / 150 + 0.1], -1)


def encoded(primaries: int, transfer: int) -> Floats:
    """The picture as values of other primaries and another tone."""
    there = (np.linalg.inv(to_xyz(PRIMARIES[primaries])) @ to_xyz(SRGB)).T
    return np.clip(TONES[transfer](to_light(picture()) @ there), 0, 1)


def shown_as_srgb(path: Path) -> Floats:
    """What a viewer makes of a file: LittleCMS by its profile, or sRGB without one."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
        profile = opened.info.get("icc_profile")
    if profile:
        image = ImageCms.profileToProfile(image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=1)
    return np.asarray(image) / 255


def heic(path: Path, values: Floats, primaries: int, transfer: int) -> None:
    deep = np.rint(values * 1023).astype(np.uint16) << 6
    file = pillow_heif.from_bytes("RGB;16", (64, 48), deep.tobytes())
    names = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 0}
    file.save(path, quality=-1, chroma=444, save_nclx_profile=True, **names)


def avif(path: Path, values: Floats, primaries: int, transfer: int) -> None:
    deep = np.rint(values * 1023).astype(np.uint16)
    options: Any = {
        "bitspersample": 10,
        "pixelformat": "444",
        "primaries": primaries,
        "transfer": transfer,
        "matrix": 0,
    }
    path.write_bytes(imagecodecs.avif_encode(deep, 100, speed=8, **options))


@pytest.mark.parametrize("write", [heic, avif])
@pytest.mark.parametrize("codes", [(1, 13), (12, 13), (12, 16), (9, 16)])
def test_a_jpeg_shows_the_same_colours(write: Any, codes: tuple[int, int], restorer: Restorer, tmp_path: Path) -> None:
    source = tmp_path / f"in.{write.__name__}"
    write(source, encoded(*codes), *codes)
    header = read_header(source)
    assert (header.metadata.codes, header.metadata.icc) == (codes, b"")
    row = restore_file(restorer, source, tmp_path / "out.jpg", Encoding(look=Look(strength=0)))
    said = [note for note in row.notes if "became sRGB" in note]
    assert said == (["PQ became sRGB; what is brighter than white is cut off"] if codes[1] == 16 else [])
    with Image.open(tmp_path / "out.jpg") as opened:
        assert ("icc_profile" in opened.info) == (codes[0] != 1), "sRGB needs no profile"
    off = np.abs(shown_as_srgb(tmp_path / "out.jpg") - np.clip(picture(), 0, 1))
    assert off.mean() < 1.5 / 255
    assert np.percentile(off, 99) < 6 / 255


@pytest.mark.parametrize("alpha", [False, True])
def test_a_profile_of_grey_in_jpeg_xl(alpha: bool, restorer: Restorer, tmp_path: Path) -> None:
    """Of grey with alpha three colours are written, of which it says nothing: they become sRGB, and a line says so."""
    grey = np.rint(picture()[..., 0] ** (1 / 2.2) * 255).astype(np.uint8)
    values = np.dstack([grey, np.full_like(grey, 255)]) if alpha else grey
    Image.fromarray(values).save(tmp_path / "in.png", icc_profile=grey_profile(gamma_curve(2.2)))
    row = restore_file(restorer, tmp_path / "in.png", tmp_path / "out.jxl", Encoding(look=Look(strength=0)))
    made = np.asarray(imagecodecs.jpegxl_decode((tmp_path / "out.jxl").read_bytes()))
    notes = ["colour profile not kept: it is one of grey, and JXL with alpha holds colour"]
    assert [note for note in row.notes if "profile" in note] == (notes if alpha else [])
    if not alpha:
        assert np.array_equal(made.squeeze(), grey)
        assert read_header(tmp_path / "out.jxl").metadata.icc[16:20] == b"GRAY"
    else:
        expected = 255 * from_light((grey / 255) ** 2.2)
        assert np.abs(made[..., :3] - expected[..., None]).max() <= 1
