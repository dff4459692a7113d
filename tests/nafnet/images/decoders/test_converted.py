"""Colours that the network does not know, made into sRGB: against LittleCMS through Pillow, and the formulas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nafnet.errors import ImageError
from nafnet.images.decoders.converted import BUILT_IN
from nafnet.images.file import read_header, read_image

RNG = np.random.default_rng(0)
INKS = RNG.integers(0, 256, (32, 48, 4), np.uint8)
CMYK_PROFILE: bytes = pyvips.Image.profile_load("cmyk")
LAB_NOTE = "CIELAB became sRGB; colours that sRGB does not hold are cut off"


def by_littlecms(inks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """sRGB of CMYK of 8 bits, 0 being no ink."""
    target = ImageCms.createProfile("sRGB")
    exchange = ImageCms.buildTransform(io.BytesIO(CMYK_PROFILE), target, "CMYK", "RGB", renderingIntent=1)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(inks, "CMYK"), exchange)).astype(int)


@pytest.mark.parametrize("profile", [b"", CMYK_PROFILE])
def test_cmyk_of_a_jpeg_is_inverted_as_adobe_does(profile: bytes, tmp_path: Path) -> None:
    """Pillow writes such a file upside down with an Adobe marker, and reads it back right."""
    Image.fromarray(INKS, "CMYK").save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=profile)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert "adobe" in opened.info
        expected = by_littlecms(np.asarray(opened))
    header = read_header(tmp_path / "a.jpg")
    assert header.notes == ("CMYK became sRGB, by its profile" if profile else BUILT_IN,)
    assert header.metadata.icc[16:20] == b"RGB "
    assert np.abs(read_image(tmp_path / "a.jpg").pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_of_a_tiff(dtype: Any, tmp_path: Path) -> None:
    scale = 257 if dtype == np.uint16 else 1
    tifffile.imwrite(tmp_path / "a.tif", INKS.astype(dtype) * dtype(scale), photometric="separated")
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == dtype
    assert np.abs(image.pixels / scale - by_littlecms(INKS)).max() <= 1
    assert read_header(tmp_path / "a.tif").notes == (BUILT_IN,)


def test_a_profile_that_is_not_one_of_cmyk_does_not_count(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(INKS, "CMYK").save(tmp_path / "a.tif", icc_profile=srgb)
    assert BUILT_IN in read_header(tmp_path / "a.tif").notes
    assert np.abs(read_image(tmp_path / "a.tif").pixels.astype(int) - by_littlecms(INKS)).max() <= 1


def test_half_a_cmyk_jpeg_is_restored_as_far_as_it_goes(tmp_path: Path) -> None:
    Image.fromarray(INKS.repeat(8, 0).repeat(8, 1), "CMYK").save(tmp_path / "a.jpg", quality=90)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="damaged JPEG") as refusal:
        read_image(tmp_path / "a.jpg")
    assert "\n" not in str(refusal.value)


def srgb_of_lab(lab: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """By CIE 15 (L*a*b* under D50), Bradford's adaptation to D65, and IEC 61966-2-1; in [0, 255]."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1.0, 0.8249]
    to_srgb = np.array(
        [[3.1341359, -1.6173863, -0.4906619], [-0.9787955, 1.9162543, 0.0334427], [0.0719553, -0.2289769, 1.4053860]]
    )
    light = np.clip(xyz @ to_srgb.T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def some_lab() -> NDArray[np.float64]:
    """Colours that sRGB holds."""
    light, one, other = np.meshgrid(np.linspace(30, 85, 12), np.linspace(-18, 18, 12), np.linspace(-18, 18, 12))
    return np.stack([light, one, other], -1).reshape(36, 48, 3)


def stored(lab: NDArray[np.float64], kind: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values of a TIFF, by TIFF 6.0, section 23, and by PageMaker's notes."""
    if kind == "cielab8":
        return np.concatenate([np.rint(lab[..., :1] * 2.55), np.rint(lab[..., 1:]) % 256], -1).astype(np.uint8), {}
    if kind == "cielab16":
        values = np.concatenate([lab[..., :1] * 655.35, (lab[..., 1:] * 256) % 65536], -1)
        return (np.rint(values) % 65536).astype(np.uint16), {}
    size = 1 if kind == "icclab8" else 256
    values = np.concatenate([lab[..., :1] * 2.55, lab[..., 1:] + 128], -1) * size
    return np.rint(values).astype(np.uint8 if size == 1 else np.uint16), {"photometric": "icclab"}


@pytest.mark.parametrize(
    "layout", [{}, {"compression": "zlib", "predictor": 2}, {"tile": (16, 16)}, {"byteorder": ">"}]
)
@pytest.mark.parametrize("kind", ["cielab8", "cielab16", "icclab8", "icclab16"])
def test_lab(kind: str, layout: dict[str, Any], tmp_path: Path) -> None:
    values, options = stored(some_lab(), kind)
    tifffile.imwrite(tmp_path / "a.tif", values, **{"photometric": "cielab", **options, **layout})
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == values.dtype
    wide = values.dtype == np.uint16
    off = np.abs(image.pixels / (257 if wide else 1) - srgb_of_lab(some_lab()))
    assert off.max() < (0.3 if wide else 4), "of 255; in 8 bits a step of a* is as much as 3 of a colour"
    assert read_header(tmp_path / "a.tif").notes == (LAB_NOTE,)


@pytest.mark.parametrize("kind", ["lab", "labs", "labq"])
def test_lab_that_libvips_wrote(kind: str, tmp_path: Path) -> None:
    """Floats, signed values of 16 bits, and 8 bits."""
    image = pyvips.Image.new_from_array(some_lab().astype(np.float32), interpretation="lab")
    (image if kind == "lab" else image.colourspace(kind)).tiffsave(str(tmp_path / "a.tif"))
    restored = read_image(tmp_path / "a.tif").pixels
    scale, most = (1, 4) if kind == "labq" else (257, 0.3)
    assert np.abs(restored / scale - srgb_of_lab(some_lab())).max() < most


def test_lab_with_alpha_and_turned(tmp_path: Path) -> None:
    values, _ = stored(some_lab(), "cielab8")
    alpha = RNG.integers(0, 256, (36, 48, 1), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", np.concatenate([values, alpha], -1), photometric="cielab", extrasamples=["unassalpha"],
        extratags=[(274, 3, 1, 6, True)],
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif")
    assert image.alpha is not None
    assert np.array_equal(image.alpha, np.rot90(alpha[..., 0], -1))
    assert np.abs(image.pixels - np.rot90(srgb_of_lab(some_lab()), -1)).max() < 4


def test_damaged_lab_is_one_line(tmp_path: Path) -> None:
    values, _ = stored(some_lab(), "cielab16")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="cielab", rowsperstrip=4)
    data = (tmp_path / "a.tif").read_bytes()
    for cut in range(8, len(data), len(data) // 60):
        path = tmp_path / f"{cut}.tif"  # one that is mapped cannot be written over on Windows
        path.write_bytes(data[:cut])
        with pytest.raises(ImageError) as refusal:
            read_image(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("bands", [1, 3])
def test_32_bits_become_16(bands: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 2**32 - 1, (32, 48, bands), np.uint32, endpoint=True).squeeze()
    values[0, 0] = 2**32 - 1
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack" if bands == 1 else "rgb")
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels.squeeze(), np.rint(values / (2**32 - 1) * 65535).astype(np.uint16))
    assert read_header(tmp_path / "a.tif").notes == ("32 bits became 16",)


def test_half_floats(tmp_path: Path) -> None:
    values = RNG.random((32, 48, 3)).astype(np.float16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, values.astype(np.float32))
    assert read_header(tmp_path / "a.tif").notes == ("floats of 16 bits became floats of 32",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kinds", [["assocalpha"], ["assocalpha", "unspecified"]])
def test_associated_alpha_is_taken_out_of_the_colours(kinds: list[str], dtype: Any, tmp_path: Path) -> None:
    white = np.iinfo(dtype).max
    alpha = RNG.integers(white // 2, white, (32, 48, 1), dtype, endpoint=True)
    straight = RNG.integers(0, white, (32, 48, 3), dtype, endpoint=True)
    colours = np.rint(straight * (alpha / white)).astype(dtype)
    further = [RNG.integers(0, white, (32, 48, 1), dtype)] * (len(kinds) - 1)
    tifffile.imwrite(
        tmp_path / "a.tif", np.concatenate([colours, alpha, *further], -1), photometric="rgb", extrasamples=kinds
    )
    image = read_image(tmp_path / "a.tif")
    assert image.alpha is not None
    assert np.array_equal(image.alpha, alpha[..., 0])
    assert np.abs(image.pixels.astype(int) - straight).max() <= 2
    assert read_header(tmp_path / "a.tif").notes == (() if len(kinds) == 1 else ("1 further channel not kept",))


@pytest.mark.parametrize(
    ("kinds", "alpha", "lost"),
    [
        (["unassalpha", "unspecified"], 0, "1 further channel not kept"),
        (["unspecified", "unassalpha"], 1, "1 further channel not kept"),
        (["unspecified"] * 2, None, "2 further channels not kept"),
    ],
)
@pytest.mark.parametrize("colours", [1, 3])
def test_further_channels(kinds: list[str], alpha: int | None, lost: str, colours: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (32, 48, colours + len(kinds)), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="rgb" if colours == 3 else "minisblack", extrasamples=kinds,
        planarconfig="contig",
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels, values[..., :colours])
    assert (image.alpha is None) == (alpha is None)
    if alpha is not None:
        assert image.alpha is not None
        assert np.array_equal(image.alpha, values[..., colours + alpha])
    assert read_header(tmp_path / "a.tif").notes == (lost,)
