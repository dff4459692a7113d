"""How a file names its colours is kept, or its loss is said; the pixels stay the same."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.images.containers.heif import read_heif
from nafnet.images.file import read_header, read_image, write_image
from tests.nafnet.images.metadata.sources import PIXELS, PROFILE, avif, png

P3_PQ = (b"cICP", bytes((12, 16, 0, 1)))
GAMMA = (b"gAMA", struct.pack(">I", 100_000))
PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))


def chunks(path: Path) -> dict[bytes, bytes]:
    data, at, found = path.read_bytes(), 8, {}
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        found.setdefault(name, data[at + 8 : at + 8 + size])
        at += 12 + size
    return found


def test_png_s_chunks_go_into_png(tmp_path: Path) -> None:
    png(tmp_path / "in.png", P3_PQ, GAMMA, PRIMARIES)
    write_image(tmp_path / "out.png", read_image(tmp_path / "in.png"))
    given, written = chunks(tmp_path / "in.png"), chunks(tmp_path / "out.png")
    for name in (b"cICP", b"gAMA", b"cHRM", b"tEXt", b"pHYs", b"iTXt"):
        assert written[name] == given[name]
    assert list(written).index(b"cICP") < list(written).index(b"IDAT")


@pytest.mark.parametrize("profile", [b"", PROFILE])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_codes_go_between_png_and_avif(profile: bytes, depth: type[np.generic], tmp_path: Path) -> None:
    png(tmp_path / "in.png", P3_PQ, icc_profile=profile or None)
    image = read_image(tmp_path / "in.png")
    pixels = image.pixels if depth == np.uint8 else image.pixels.astype(np.uint16) * 257
    image = dataclasses.replace(image, pixels=pixels, format="avif")
    write_image(tmp_path / "out.avif", image)
    plain = dataclasses.replace(image, metadata=dataclasses.replace(image.metadata, codes=None))
    write_image(tmp_path / "plain.avif", plain)
    back, untagged = read_image(tmp_path / "out.avif"), read_image(tmp_path / "plain.avif")
    assert (back.metadata.codes, untagged.metadata.codes) == ((12, 16), None)
    assert np.array_equal(back.pixels, untagged.pixels), "the codes change no pixel"
    assert (back.metadata.icc, back.metadata.xmp) == (profile, image.metadata.xmp)
    assert back.metadata.exif == untagged.metadata.exif != b""
    with Image.open(tmp_path / "out.avif") as opened:
        opened.load()  # and another decoder reads it
    write_image(tmp_path / "back.png", dataclasses.replace(back, format="png"))
    assert chunks(tmp_path / "back.png")[b"cICP"] == P3_PQ[1]


def test_what_a_format_cannot_say_is_noted(tmp_path: Path) -> None:
    header = read_header(png(tmp_path / "in.png", P3_PQ, GAMMA, PRIMARIES))
    notes = header.converted("jpeg", None).notes
    assert "colour codes not kept: JPEG has no place for it" in notes
    assert "gamma and primaries not kept: JPEG has no place for it" in notes


def test_srgb_said_in_chunks_is_no_loss(tmp_path: Path) -> None:
    srgb = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    chunks = ((b"cICP", bytes((1, 13, 0, 1))), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", srgb))
    header = read_header(png(tmp_path / "in.png", *chunks, pnginfo=None))
    assert header.converted("jpeg", None).notes == ()


def test_a_profile_of_grey_is_not_put_on_colour(tmp_path: Path) -> None:
    grey = bytearray(PROFILE)
    grey[16:20] = b"GRAY"
    Image.fromarray(PIXELS[:, :, 0]).save(tmp_path / "in.png", icc_profile=bytes(grey))
    header = read_header(tmp_path / "in.png")
    assert header.converted("png", None).metadata.icc == bytes(grey)
    for file_format in ("webp", "avif"):
        target = header.converted(file_format, None)
        assert target.metadata.icc == b""
        assert target.notes == (f"colour profile not kept: it is one of grey, and {file_format.upper()} holds colour",)


@pytest.mark.parametrize("damage", range(0, 400, 7))
def test_damage_to_a_container_s_boxes_says_no_colours(damage: int, tmp_path: Path) -> None:
    """Cut short, or with a byte changed: the codes are unknown, and only the decoder judges the file."""
    data = bytearray(avif(tmp_path / "in.avif").read_bytes())
    data[damage] ^= 0xFF
    (tmp_path / "changed.avif").write_bytes(data)
    read_heif(tmp_path / "changed.avif")
    (tmp_path / "cut.avif").write_bytes(data[:damage])
    assert read_heif(tmp_path / "cut.avif") == ({}, [])
