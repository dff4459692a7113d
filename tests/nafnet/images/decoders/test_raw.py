"""Raw files of a camera that was made up: DNGs whose picture can be computed from what is in them."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images.decoders import raw
from nafnet.images.file import read_header, read_image
from nafnet.images.formats import sniff
from nafnet.images.reader import open_image, recognise
from tests.nafnet.images.decoders.refusing import refused

PROGRAM = Path(sys.executable).with_name("nafnet-run")
HEIGHT, WIDTH, WHITE = 64, 96, 16383
NEUTRAL = (0.5, 1.0, 0.8)
"""What the camera says of grey; its red and its blue are darker."""
XYZ_TO_SRGB = (3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259, 1.0572252)
Tag = tuple[int, int, int, bytes]


def ratios(*values: float) -> bytes:
    return b"".join(struct.pack("<ii", round(value * 10000), 10000) for value in values)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def directory(tags: list[Tag], at: int) -> bytes:
    """A directory of TIFF that stands at that byte, and its values."""
    table, body, end = b"", b"", at + 2 + 12 * len(tags) + 4
    for tag, kind, count, data in sorted(tags):
        if len(data) <= 4:
            value = data.ljust(4, b"\0")
        else:
            value = struct.pack("<I", end + len(body))
            body += data + b"\0" * (len(data) % 2)
        table += struct.pack("<HHI", tag, kind, count) + value
    return words(len(tags)) + table + bytes(4) + body


def dng(
    mosaic: NDArray[np.uint16], *, orientation: int = 1, balance: bool = True, photometric: int = 32803
) -> bytes:  # fmt: skip
    """A DNG as cameras write them: a preview first, and the mosaic, RGGB, in a directory of its own."""
    height, width = mosaic.shape
    preview, pixels = b"\xff\0\xff" * (16 * 12), mosaic.astype("<u2").tobytes()
    preview_at, pixels_at = 8, 8 + len(preview)
    sub_at = pixels_at + len(pixels)
    sub = directory([
        (254, 4, 1, bytes(4)), (256, 4, 1, struct.pack("<I", width)), (257, 4, 1, struct.pack("<I", height)),
        (258, 3, 1, words(16)), (259, 3, 1, words(1)), (262, 3, 1, words(photometric)),
        (273, 4, 1, struct.pack("<I", pixels_at)), (277, 3, 1, words(1)), (278, 4, 1, struct.pack("<I", height)),
        (279, 4, 1, struct.pack("<I", len(pixels))), (284, 3, 1, words(1)), (33421, 3, 2, words(2, 2)),
        (33422, 1, 4, bytes((0, 1, 1, 2))), (50714, 3, 1, words(0)), (50717, 4, 1, struct.pack("<I", WHITE)),
    ], sub_at)  # fmt: skip
    exif_at = sub_at + len(sub)
    exif = directory([(34855, 3, 1, words(6400))], exif_at)
    at = exif_at + len(exif)
    tags = [
        (254, 4, 1, struct.pack("<I", 1)), (256, 4, 1, struct.pack("<I", 16)), (257, 4, 1, struct.pack("<I", 12)),
        (258, 3, 3, words(8, 8, 8)), (259, 3, 1, words(1)), (262, 3, 1, words(2)), (271, 2, 6, b"Maker\0"),
        (272, 2, 6, b"Model\0"), (273, 4, 1, struct.pack("<I", preview_at)), (274, 3, 1, words(orientation)),
        (277, 3, 1, words(3)), (278, 4, 1, struct.pack("<I", 12)), (279, 4, 1, struct.pack("<I", len(preview))),
        (330, 4, 1, struct.pack("<I", sub_at)), (34665, 4, 1, struct.pack("<I", exif_at)),
        (50706, 1, 4, bytes((1, 4, 0, 0))), (50708, 2, 6, b"Model\0"), (50721, 10, 9, ratios(*XYZ_TO_SRGB)),
        (50778, 3, 1, words(21)),
    ]  # fmt: skip
    tags += [(50728, 5, 3, ratios(*NEUTRAL))] if balance else []
    return b"II*\0" + struct.pack("<I", at) + preview + pixels + sub + exif + directory(tags, at)


def grey(light: NDArray[np.float64]) -> NDArray[np.uint16]:
    """The mosaic of grey light, [H,W] of 0 to 1, as that camera sees it."""
    seen = light.copy()
    seen[::2, ::2] *= NEUTRAL[0]
    seen[1::2, 1::2] *= NEUTRAL[2]
    return np.rint(seen * WHITE).astype(np.uint16)


def encoded(light: float) -> float:
    """sRGB's curve, by its standard, over 16 bits."""
    return 65535 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("light", [0.01, 0.05, 0.18, 0.7])
def test_grey_is_grey_by_the_cameras_balance_and_srgbs_curve(light: float, tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(dng(grey(np.full((HEIGHT, WIDTH), light))))
    image = read_image(tmp_path / "a.dng")
    assert image.pixels.shape == (HEIGHT, WIDTH, 3)
    assert image.pixels.dtype == np.uint16
    middle = image.pixels[8:-8, 8:-8].astype(float)
    assert np.abs(middle - encoded(light)).max() < 0.01 * encoded(light) + 30


def test_a_picture_does_not_change_the_rest_of_it(tmp_path: Path) -> None:
    """Nothing is brightened, stretched or balanced by what is in the picture."""
    dark = np.full((HEIGHT, WIDTH), 0.1)
    bright = dark.copy()
    bright[HEIGHT // 2 :, ::3] = 1.0
    for balance in (True, False):
        for name, light in (("dark", dark), ("bright", bright)):
            (tmp_path / f"{name}.dng").write_bytes(dng(grey(light), balance=balance))
        one, other = (read_image(tmp_path / f"{name}.dng").pixels[4 : HEIGHT // 2 - 8] for name in ("dark", "bright"))
        assert np.array_equal(one, other), balance
        said = any("daylight's is used" in note for note in read_header(tmp_path / "dark.dng").notes)
        assert said is not balance


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_it_is_turned_once_and_says_so(orientation: int, tmp_path: Path) -> None:
    light = np.full((HEIGHT, WIDTH), 0.05)
    light[: HEIGHT // 4, : WIDTH // 4] = 0.5  # its upper left
    (tmp_path / "a.dng").write_bytes(dng(grey(light), orientation=orientation))
    image = read_image(tmp_path / "a.dng")
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    expected = np.rot90(light > 0.2, turns)
    assert image.pixels.shape[:2] == expected.shape
    assert np.mean((image.pixels[:, :, 1] > encoded(0.2)) != expected) < 0.01
    block = Image.Exif()
    block.load(image.metadata.exif)
    assert block.get(274, 1) == 1
    assert (block[271], block[272]) == ("Maker", "Model")
    assert block.get_ifd(34665)[34855] == 6400
    assert not {254, 330, 50706, 50721} & set(block)


def test_what_it_is_comes_from_its_content(tmp_path: Path) -> None:
    (tmp_path / "photo.tif").write_bytes(dng(grey(np.full((HEIGHT, WIDTH), 0.1))))
    assert recognise(tmp_path / "photo.tif") == "raw"
    tifffile.imwrite(tmp_path / "photo.dng", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    assert recognise(tmp_path / "photo.dng") == "tiff"
    starts = (
        b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIRS\x08\0\0\0", b"MMOR\0\0\0\x08", b"IIU\0\x18\0\0\0",
        b"\0\0\0\x18ftypcrx \0\0\0\1", b"II*\0\x10\0\0\0CR\2\0",
    )  # fmt: skip
    for start in starts:
        assert sniff(start.ljust(64, b"\0")) == "raw", start


def test_the_preview_is_never_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(dng(grey(np.full((HEIGHT, WIDTH), 0.1)), photometric=2))
    with pytest.raises(ImageError, match="of which only the preview could be read"):
        open_image(path)
    data = bytearray(dng(grey(np.full((HEIGHT, WIDTH), 0.1))))
    compression = data.index(struct.pack("<HHII", 259, 3, 1, 1))  # of the mosaic, whose directory comes first
    data[compression + 8] = 99
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a raw file that LibRaw cannot develop"):
        read_image(path)


def test_one_that_is_cut_off_is_not_half_developed(tmp_path: Path) -> None:
    """Its mosaic at the end, as most cameras have it."""
    data = dng(grey(np.full((HEIGHT, WIDTH), 0.1)))
    start, size = 8 + 16 * 12 * 3, 2 * HEIGHT * WIDTH
    strip = struct.pack("<HHII", 273, 4, 1, start)
    assert strip in data
    whole = data.replace(strip, struct.pack("<HHII", 273, 4, 1, len(data))) + data[start : start + size]
    (tmp_path / "whole.dng").write_bytes(whole)
    assert read_image(tmp_path / "whole.dng").pixels.min() > encoded(0.09)
    (tmp_path / "cut.dng").write_bytes(whole[: -size // 3])
    with pytest.raises(ImageError, match="a damaged one"):
        read_image(tmp_path / "cut.dng")


def test_hostile_files_are_one_line(tmp_path: Path) -> None:
    whole, path, chance = dng(grey(np.full((HEIGHT, WIDTH), 0.1))), tmp_path / "a.dng", random.Random(0)
    damaged = [whole[:size] for size in range(16, len(whole) - 300, len(whole) // 20)]
    start = len(whole) - 900  # its directories
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(start, len(data))] = chance.randrange(256)
        damaged.append(bytes(data))
    assert refused(path, damaged) > 20


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dng").write_bytes(dng(grey(np.full((HEIGHT, WIDTH), 0.1))))
    monkeypatch.setattr(raw, "_developed", None)
    with pytest.raises(ImageError, match="96x64 pixels; at most"):
        open_image(tmp_path / "a.dng", max_pixels=3000)


def test_without_the_library_a_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.dng").write_bytes(dng(grey(np.full((HEIGHT, WIDTH), 0.1))))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(ImageError, match=r"a raw file needs rawpy .*: pip install 'nafnet-toolchain\[raw\]'"):
        open_image(tmp_path / "a.dng")


def test_it_becomes_a_tiff(tmp_path: Path, identity_onnx: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dng").write_bytes(dng(grey(np.full((HEIGHT, WIDTH), 0.18))))
    command = [PROGRAM, "--model", identity_onnx, tmp_path / "in"]
    done = subprocess.run([*command, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "RAW is read alone, and became TIFF: --format chooses another" in done.stdout
    pixels = tifffile.imread(tmp_path / "out" / "a.tif")
    assert pixels.dtype == np.uint16
    assert abs(pixels[20, 20, 1] - encoded(0.18)) < 300
    with Image.open(tmp_path / "out" / "a.tif") as image:
        assert image.getexif()[271] == "Maker"
    words = [*command, tmp_path / "jpegs", "--format", "jpeg"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    with Image.open(tmp_path / "jpegs" / "a.jpg") as image:
        assert (image.size, image.getexif()[272]) == ((WIDTH, HEIGHT), "Model")
