"""Photographs of phones: HEIC files that another library wrote, whose pixels are known."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from nafnet.errors import ImageError, UsageError
from nafnet.images.containers.heif import Parts
from nafnet.images.decoders import heif
from nafnet.images.file import read_header, read_image
from nafnet.images.reader import open_image
from nafnet.runtime.folder.settings import Encoding
from tests.nafnet.images.decoders.refusing import refused

PROGRAM = Path(sys.executable).with_name("nafnet-run")
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
LOSSLESS: dict[str, Any] = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
DEEP = np.linspace(0, 1023, 48 * 64 * 3).round().astype(np.uint16).reshape(48, 64, 3)


UPRIGHT = b"\x01\x12\0\x03\0\0\0\x01\0\x01"
"""The tag of orientation 1 in an EXIF block of Motorola's byte order."""


def encoded(mode: str, pixels: NDArray[Any], **options: Any) -> bytes:
    """A HEIC of the pixels, [H,W,C]; of 16 bits it keeps the first 10."""
    stream = io.BytesIO()
    height, width = pixels.shape[:2]
    pillow_heif.from_bytes(mode, (width, height), pixels.tobytes()).save(stream, **{**LOSSLESS, **options})
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[271], block[274] = "Maker", orientation
    return block.tobytes()


def test_eight_bits(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("RGB", PIXELS))
    image = read_image(tmp_path / "a.heic")
    assert np.array_equal(image.pixels, PIXELS)
    assert (image.format, image.alpha, image.lossless) == ("heif", None, False)


def test_ten_bits_are_spread_over_sixteen(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("RGB;16", DEEP << 6))
    image = read_image(tmp_path / "a.heic")
    assert np.array_equal(image.pixels, np.rint(DEEP * (65535 / 1023)).astype(np.uint16))
    assert image.pixels.max() == 65535
    header = read_header(tmp_path / "a.heic")
    assert header.bits == 10
    assert "uint16 became uint8, the most that jpeg holds" in header.converted(None, None).notes


@pytest.mark.parametrize("mode", ["L", "RGBA", "L;16"])
def test_grey_and_alpha(mode: str, tmp_path: Path) -> None:
    given = np.dstack([PIXELS, PIXELS[::-1, :, :1]]) if mode == "RGBA" else PIXELS[:, :, :1]
    stored = given.astype(np.uint16) << 8 if mode == "L;16" else given
    (tmp_path / "a.heic").write_bytes(encoded(mode, stored))
    image = read_image(tmp_path / "a.heic")
    assert image.pixels.shape[2] == (3 if mode == "RGBA" else 1)
    # Grey is coded as luminance, of which a lossless coding keeps all but the rounding.
    scale = 257 if image.pixels.dtype == np.uint16 else 1
    assert np.abs(image.pixels / scale - given[:, :, :3]).max() <= 1
    if mode == "RGBA":
        assert image.alpha is not None
        assert np.array_equal(image.alpha, given[:, :, 3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once(orientation: int, tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("RGB", PIXELS, exif=exif(orientation)))
    turned = Image.fromarray(PIXELS)
    turned.getexif()[274] = orientation
    image = read_image(tmp_path / "a.heic")
    assert np.array_equal(image.pixels, np.asarray(ImageOps.exif_transpose(turned)))
    told = Image.Exif()
    told.load(image.metadata.exif)
    assert (told[271], told[274]) == ("Maker", 1)


def test_exif_alone_does_not_turn_it(tmp_path: Path) -> None:
    """The standard has one place for that, and readers that obey both turn twice."""
    block = exif(1)
    other = block.replace(UPRIGHT, UPRIGHT[:-1] + b"\x06")
    assert other != block
    (tmp_path / "a.heic").write_bytes(encoded("RGB", PIXELS, exif=block).replace(block[6:], other[6:]))
    image = read_image(tmp_path / "a.heic")
    assert np.array_equal(image.pixels, PIXELS)
    assert UPRIGHT in image.metadata.exif


def test_what_it_carries(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    stream = io.BytesIO()
    file = pillow_heif.from_bytes("RGB", (64, 48), PIXELS.tobytes())
    file[0].info["icc_profile"] = profile
    file.save(stream, xmp=xmp, exif=exif(1), **LOSSLESS)
    (tmp_path / "a.heic").write_bytes(stream.getvalue())
    metadata = read_header(tmp_path / "a.heic").metadata
    assert (metadata.icc, metadata.xmp) == (profile, xmp)
    options = {"color_primaries": 12, "transfer_characteristics": 16, "matrix_coefficients": 9}
    (tmp_path / "b.heic").write_bytes(encoded("RGB;16", DEEP << 6, save_nclx_profile=True, **options))
    assert read_header(tmp_path / "b.heic").metadata.codes == (12, 16)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    file = pillow_heif.from_bytes("RGB", (64, 48), PIXELS.tobytes())
    file.add_frombytes("RGB", (64, 48), PIXELS[::-1].tobytes())
    file.save(tmp_path / "a.heic", **LOSSLESS)
    assert any("1 other picture in it not kept" in note for note in read_header(tmp_path / "a.heic").notes)
    info = {
        "aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [7], "urn:com:apple:photo:2018:aux:matte": [8]},
        "depth_images": [types.SimpleNamespace()],
    }  # fmt: skip
    said = heif._left_out(info, Parts(), 0)
    assert said == ["HDR gain map not kept", "depth map not kept", "1 auxiliary image not kept"]
    assert heif._left_out({"depth_images": []}, Parts(kinds=frozenset({b"tmap"})), 1) == ["HDR gain map not kept"]


def test_a_sequence_is_refused_by_its_name(tmp_path: Path) -> None:
    data = encoded("RGB", PIXELS)
    (tmp_path / "a.heic").write_bytes(data[:8] + b"hevc" + data[12:])
    with pytest.raises(ImageError, match="an animation"):
        open_image(tmp_path / "a.heic")


def test_hostile_files_are_one_line(tmp_path: Path) -> None:
    whole, path, chance = encoded("RGB", PIXELS, exif=exif(6)), tmp_path / "a.heic", random.Random(0)
    damaged = [whole[:size] for size in range(12, len(whole), len(whole) // 40)]
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(len(data) if chance.random() < 0.5 else 600)] = chance.randrange(256)
        damaged.append(bytes(data))
    assert refused(path, damaged) > 50


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("RGB", PIXELS))
    monkeypatch.setattr(heif, "_decoded", None)
    with pytest.raises(ImageError, match=r"64x48 pixels; at most 0\.003 megapixels"):
        open_image(tmp_path / "a.heic", max_pixels=3000)


def test_without_the_library_a_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("RGB", PIXELS))
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"HEIC needs pi-heif .*: pip install 'nafnet-toolchain\[heic\]'"):
        open_image(tmp_path / "a.heic")


def restore(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False)


def test_a_folder_of_them_becomes_jpegs(tmp_path: Path, identity_onnx: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.HEIC").write_bytes(encoded("RGB", PIXELS, exif=exif(6)))
    (tmp_path / "in" / "deep.heif").write_bytes(encoded("RGB;16", DEEP << 6))
    done = restore("--model", identity_onnx, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "2 files: HEIF is read alone, and became JPEG of quality 95: --format chooses another" in done.stdout
    with Image.open(tmp_path / "out" / "one.jpg") as image:
        assert (image.format, image.size, image.getexif()[274]) == ("JPEG", (48, 64), 1)
    done = restore("--model", identity_onnx, "--format", "png", tmp_path / "in", tmp_path / "pngs")
    assert done.returncode == 0, done.stderr
    assert "read alone" not in done.stdout
    with Image.open(tmp_path / "pngs" / "one.png") as image:
        turned = np.rot90(PIXELS, -1)
        assert np.array_equal(np.asarray(image), turned)
    assert read_header(tmp_path / "pngs" / "deep.png").pixel_type == "uint16"


def test_two_that_would_become_one_are_refused(tmp_path: Path, identity_onnx: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").write_bytes(encoded("RGB", PIXELS))
    Image.fromarray(PIXELS).save(tmp_path / "in" / "a.jpg")
    done = restore("--model", identity_onnx, tmp_path / "in", tmp_path / "out")
    assert done.returncode == 2
    assert "would both be written to" in done.stderr
    done = restore("--model", identity_onnx, tmp_path / "in" / "a.heic", tmp_path / "b.heic")
    assert done.returncode == 2
    assert ".heic is not written" in done.stderr
    with pytest.raises(UsageError, match="heif is read alone"):
        Encoding().format_for(tmp_path / "b.heic")
