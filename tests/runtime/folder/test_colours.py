"""The network sees what a picture means, whatever its file's tone and primaries; and the file keeps both."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images.colour.reading import read_said
from nafnet.images.file import ImageFile, read_header, read_image, write_image
from nafnet.images.metadata.metadata import Metadata
from nafnet.runtime import Encoding, Look, Restorer, restore_file
from nafnet.runtime.engine.events import Layout
from nafnet.runtime.engine.finishing import Finish
from nafnet.runtime.engine.hands import Hands
from tests.nafnet.images.colour.profiles import (
    ADOBE,
    P3,
    PROPHOTO,
    SRGB,
    Primaries,
    gamma_curve,
    matrix_profile,
    srgb_curve,
    to_xyz,
)  # fmt: skip
from tests.runtime.conftest import nafnet_run

Floats = NDArray[np.float64]
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290))
GAMA = (("gAMA", struct.pack(">I", 100_000)),)


def to_light(encoded: Floats) -> Floats:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def from_light(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def pq(nits: Floats) -> Floats:
    """SMPTE ST 2084, the inverse of its EOTF."""
    power = np.maximum(nits / 10_000, 0) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def from_pq(values: Floats) -> Floats:
    power = np.maximum(values, 0) ** (1 / 78.84375)
    return 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)


def power(exponent: float) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    return lambda light: np.maximum(light, 0) ** (1 / exponent), lambda values: values**exponent


STRAIGHT = power(1.0)
TONES = {"sRGB": (from_light, to_light), "PQ": (lambda light: pq(203 * light), lambda v: from_pq(v) / 203)}
CASES: dict[str, tuple[Primaries, tuple[Callable[[Floats], Floats], ...], str, str, Metadata]] = {
    "linear float": (SRGB, STRAIGHT, "tiff", "float32", Metadata()),
    "linear by gAMA": (SRGB, STRAIGHT, "png", "uint16", Metadata(calibration=GAMA)),
    "gamma 1.8": (SRGB, power(1.8), "png", "uint16", Metadata(icc=matrix_profile(SRGB, gamma_curve(1.8)))),
    "Display P3": (P3, TONES["sRGB"], "tiff", "uint16", Metadata(icc=matrix_profile(P3, srgb_curve()))),
    "Adobe RGB": (ADOBE, power(2.2), "tiff", "uint16", Metadata(icc=matrix_profile(ADOBE, gamma_curve(2.2)))),
    "ProPhoto": (PROPHOTO, power(1.8), "tiff", "uint16", Metadata(icc=matrix_profile(PROPHOTO, gamma_curve(1.8)))),
    "PQ": (BT2020, TONES["PQ"], "png", "uint16", Metadata(codes=(9, 16))),
}  # fmt: skip


@pytest.fixture(scope="module")
def denoiser() -> Iterator[Restorer]:
    with Restorer.load(threads=1) as restorer:
        yield restorer


@pytest.fixture
def noisy(photograph: NDArray[np.uint8]) -> Floats:
    clean = photograph[:96, :96].astype(np.float64) / 255
    return np.clip(clean + np.random.default_rng(0).normal(0, 25 / 255, clean.shape), 0, 1)


def saved(path: Path, values: Floats, kind: str, metadata: Metadata) -> Path:
    white = 1 if kind == "float32" else np.iinfo(kind).max
    pixels = values.astype(np.float32) if kind == "float32" else np.rint(np.clip(values, 0, 1) * white).astype(kind)
    name: Any = {"tif": "tiff"}.get(path.suffix[1:], path.suffix[1:])
    write_image(path, ImageFile(pixels=pixels, alpha=None, format=name, lossless=True, metadata=metadata))
    return path


def values_of(path: Path) -> Floats:
    pixels = read_image(path).pixels
    return pixels.astype(np.float64) / (1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max)


@pytest.mark.parametrize("name", CASES)
def test_the_same_picture_is_restored_alike(name: str, noisy: Floats, denoiser: Restorer, tmp_path: Path) -> None:
    """As the sRGB file of it is, to a fraction of a level; fed as it is, linear light loses seven decibels."""
    primaries, (forth, back), file_format, kind, metadata = CASES[name]
    there = (np.linalg.inv(to_xyz(primaries)) @ to_xyz(SRGB)).T
    suffix = "tif" if file_format == "tiff" else file_format
    source = saved(tmp_path / f"in.{suffix}", forth(to_light(noisy) @ there), kind, metadata)
    plain = saved(tmp_path / "plain.png", noisy, "uint16", Metadata())
    row = restore_file(denoiser, source, tmp_path / f"out.{suffix}")
    restore_file(denoiser, plain, tmp_path / "plain-out.png")
    assert row.notes == []
    shown = from_light(back(values_of(tmp_path / f"out.{suffix}")) @ np.linalg.inv(there))
    off = np.abs(np.clip(shown, 0, 1) - values_of(tmp_path / "plain-out.png"))
    assert np.sqrt((off**2).mean()) < 0.5 / 255
    written = read_header(tmp_path / f"out.{suffix}")
    assert (written.metadata.icc, written.metadata.codes) == (metadata.icc, metadata.codes), "and says so"
    restore_file(denoiser, source, tmp_path / f"as-is.{suffix}", Encoding(colour="as-is"))
    assert not np.array_equal(values_of(tmp_path / f"as-is.{suffix}"), values_of(tmp_path / f"out.{suffix}"))


@pytest.mark.parametrize(
    "metadata", [Metadata(), Metadata(icc=matrix_profile(SRGB, srgb_curve())), Metadata(codes=(1, 13))]
)
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_srgb_is_not_touched(kind: str, metadata: Metadata, noisy: Floats, denoiser: Restorer, tmp_path: Path) -> None:
    source = saved(tmp_path / "in.png", noisy, kind, metadata)
    for colour in ("auto", "as-is"):
        restore_file(denoiser, source, tmp_path / f"{colour}.png", Encoding(colour=colour))  # type: ignore[arg-type]
    assert (tmp_path / "auto.png").read_bytes() == (tmp_path / "as-is.png").read_bytes()


def test_highlights_above_white_stay(denoiser: Restorer, tmp_path: Path) -> None:
    """Light four times as bright as white, without noise, comes back as it was; black stays black."""
    light = np.full((64, 96, 3), 0.2, np.float32)
    light[16:48, 16:48] = 4.0
    light[:8] = 0
    tifffile.imwrite(tmp_path / "in.tif", light, photometric="rgb")
    row = restore_file(denoiser, tmp_path / "in.tif", tmp_path / "out.tif")
    made = tifffile.imread(tmp_path / "out.tif")
    assert row.colours == "linear light"
    assert np.array_equal(made[16:48, 16:48], light[16:48, 16:48])
    assert np.abs(made[:4]).max() < 1e-3
    assert np.abs(made - light).max() < 0.05


def test_what_a_format_cannot_say_is_changed_to_what_it_says(denoiser: Restorer, noisy: Floats, tmp_path: Path) -> None:
    """Linear light becomes sRGB in a PNG; PQ of Display P3 becomes sRGB's tone with a profile of its primaries."""
    source = saved(tmp_path / "in.tif", to_light(noisy), "float32", Metadata())
    row = restore_file(denoiser, source, tmp_path / "out.png", Encoding(look=Look(strength=0)))
    assert row.notes == ["float32 became uint16, the most that png holds", "linear light became sRGB"]
    assert np.abs(values_of(tmp_path / "out.png") - noisy).max() < 0.1 / 255
    there = (np.linalg.inv(to_xyz(P3)) @ to_xyz(SRGB)).T
    source = saved(tmp_path / "in.png", pq(203 * to_light(noisy) @ there), "uint16", Metadata(codes=(12, 16)))
    row = restore_file(denoiser, source, tmp_path / "p3.tif", Encoding(look=Look(strength=0)))
    assert row.notes == ["PQ became sRGB; what is brighter than white is cut off"]
    shown = read_header(tmp_path / "p3.tif").space
    assert shown.name == "sRGB, primaries of its own"
    light = to_light(values_of(tmp_path / "p3.tif")) @ np.linalg.inv(there)
    assert np.abs(from_light(light) - noisy).max() < 1 / 255


def test_floats_of_an_integer_picture_are_light(denoiser: Restorer, noisy: Floats, tmp_path: Path) -> None:
    """As other programs take them that find no profile; and read again they mean the same."""
    source = saved(tmp_path / "in.png", noisy, "uint8", Metadata())
    row = restore_file(denoiser, source, tmp_path / "out.tif", Encoding(bits=32, look=Look(strength=0)))
    assert row.notes == ["sRGB became linear light"]
    assert np.abs(from_light(tifffile.imread(tmp_path / "out.tif").astype(np.float64)) - noisy).max() < 0.6 / 255
    row = restore_file(denoiser, source, tmp_path / "as-is.tif", Encoding(bits=32, colour="as-is"))
    restore_file(denoiser, source, tmp_path / "out.png")
    assert row.notes == []
    floats = np.clip(tifffile.imread(tmp_path / "as-is.tif"), 0, 1)
    assert np.abs(floats - values_of(tmp_path / "out.png")).max() < 0.6 / 255


def test_the_command_does_it(identity_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    clean = photograph[:96, :96].astype(np.float64) / 255
    saved(tmp_path / "photos" / "a.tif", to_light(clean), "float32", Metadata())
    Image.fromarray(photograph).save(tmp_path / "photos" / "b.png")
    words = ("--model", identity_onnx, "--report", "report.json", "--compare", "pairs", "--html", "page.html")
    done = nafnet_run(tmp_path, *words, "--strength", "0.5", "--chroma", "1", "--detail", "0.3", "photos", "out")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [file["colours"] for file in report["files"]] == ["linear light", "sRGB"]
    assert report["settings"]["look"] == {"strength": 0.5, "chroma": 1.0, "detail": 0.3}
    with Image.open(tmp_path / "pairs" / "a-tif-compared.jpg") as image:
        pair = np.asarray(image).astype(float) / 255
    for half in (pair[:, :96], pair[:, 96:]):
        assert np.abs(half - clean).mean() < 3 / 255, "both are shown as sRGB"
    done = nafnet_run(tmp_path, *words, "--strength", "0.6", "photos", "out")
    assert b"2 restored" in done.stdout, "another strength is another result"


@pytest.mark.parametrize(
    ("option", "value"), [("--strength", "1.5"), ("--chroma", "-1"), ("--detail", "nan"), ("--colour", "p3")]
)
def test_what_is_not_there_is_refused(option: str, value: str, tmp_path: Path) -> None:
    done = nafnet_run(tmp_path, option, value, ".", "out")
    assert done.returncode == 2
    assert option.encode() in done.stderr
    assert not (tmp_path / "out").exists()


def test_floats_whose_white_is_255_are_refused(denoiser: Restorer, noisy: Floats, tmp_path: Path) -> None:
    """The network would see white, and the picture stay as it was."""
    source = saved(tmp_path / "in.tif", 255 * noisy, "float32", Metadata())
    with pytest.raises(ImageError, match=r"its values have a mean of 1\d\d.*expected floats of which 1 is white"):
        restore_file(denoiser, source, tmp_path / "out.tif")


def test_a_model_of_bytes_leaves_what_it_does_not_change(noisy: Floats) -> None:
    """What it sees of other colours is rounded; what it changes is told from what it saw."""
    rows = np.rint(noisy * 255).astype(np.uint8)
    space = read_said(Metadata(icc=matrix_profile(PROPHOTO, gamma_curve(1.8))), 3)[0][0][1]
    layout = Layout(
        height=96, width=96, channels=3, alpha=False, given="uint8", wanted="uint8", space=space, wanted_space=space
    )
    with Hands(1) as hands:
        finish = Finish(layout, hands, in_bytes=True)
        given = np.rint(finish.seen(rows) * 255).astype(np.uint8)
        made = finish.pixels(given.transpose(2, 0, 1), [rows], Look())
    assert np.array_equal(made, rows)


def test_colours_that_a_format_cannot_name_are_said_to_be_srgbs(
    denoiser: Restorer, noisy: Floats, tmp_path: Path
) -> None:
    source = saved(tmp_path / "in.png", noisy, "uint8", Metadata(icc=matrix_profile(P3, srgb_curve())))
    row = restore_file(denoiser, source, tmp_path / "out.ppm")
    assert "its colours became sRGB's; what sRGB does not hold is cut off" in row.notes
