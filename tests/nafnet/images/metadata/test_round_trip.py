"""What each format keeps of every other's, read back by Pillow; what is not there was said."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image, IptcImagePlugin, features

from nafnet.images.file import read_header, read_image, write_image
from nafnet.images.formats import SUFFIXES
from nafnet.images.metadata.metadata import WORDS
from tests.nafnet.images.metadata.sources import (
    ARTIST,
    EXIF_IFD,
    GPS_IFD,
    ISO,
    LATITUDE,
    MAKERS,
    ORIENTATION,
    PIXELS,
    PROFILE,
    RECORDS,
    exif,
    jpeg,
)  # fmt: skip

TARGETS = ("jpg", "png", "tif", "webp", "avif", "bmp", "ppm")
CARRIED = {
    "jpg": {"icc", "exif", "xmp", "photoshop", "comment", "density"},
    "png": {"icc", "exif", "xmp", "texts", "density"},
    "tif": {"icc", "exif", "xmp", "photoshop", "density"},
    "webp": {"icc", "exif", "xmp"},
    "avif": {"icc", "exif", "xmp"},
    "bmp": {"density"},
}


def seen(path: Path) -> set[str]:
    """What Pillow finds in a file, of what the sources carry; wrong values fail."""
    if path.suffix == ".ppm":
        return set()
    found = set()
    with Image.open(path) as image:
        image.load()
        assert image.size == PIXELS.shape[:2], "turned"
        info, tags = image.info, image.getexif()
        if info.get("icc_profile"):
            assert info["icc_profile"] == PROFILE
            found.add("icc")
        if tags.get(ARTIST):
            assert tags[ARTIST] == "Somebody"
            assert tags.get(ORIENTATION, 1) == 1
            assert tags.get_ifd(EXIF_IFD)[ISO] == 200
            assert [float(value) for value in tags.get_ifd(GPS_IFD)[LATITUDE]] == [47, 6, 0]
            found.add("exif")
        packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
        packet = packet.encode() if isinstance(packet, str) else packet
        if packet:
            assert "Grüße".encode() in packet
            assert b't:Orientation="1"' in packet or b"t:Orientation='1'" in packet
            assert b'PixelXDimension="60"' in packet
            assert b"<t:ImageWidth>60</t:ImageWidth>" in packet
            found.add("xmp")
        if IptcImagePlugin.getiptcinfo(image):
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 25): RECORDS[5:]}
            found.add("photoshop")
        if info.get("comment"):
            assert info["comment"] == b"a comment"
            found.add("comment")
        if info.get("Title"):
            assert (info["Title"], info["Author"]) == ("Grüße", "作者")
            found.add("texts")
        if path.suffix in (".jpg", ".png", ".tif", ".bmp") and info.get("dpi", (0, 0))[0] and info.get("jfif_unit", 1):
            assert info["dpi"] == pytest.approx((300, 300), abs=0.01)
            found.add("density")
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", MAKERS)
def test_every_pair_keeps_it_or_says_so(source: str, target: str, tmp_path: Path) -> None:
    if "avif" in (source, target) and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    given, written = tmp_path / f"in.{source}", tmp_path / f"out.{target}"
    MAKERS[source](given)
    image = read_image(given)
    assert image.pixels.shape[:2] == (80, 60)
    file_format = SUFFIXES[f".{target}"]
    write_image(written, dataclasses.replace(image, format=file_format))
    notes = read_header(given).converted(file_format, None).notes
    said = {name for name, words in WORDS.items() if any(note.startswith(f"{words} not kept") for note in notes)}
    found, kept = seen(written), CARRIED[source] & CARRIED.get(target, set())
    assert found >= kept
    missing = CARRIED[source] - found
    if "exif" in found:
        missing.discard("density")  # in the EXIF, where the source's own was read from it
        said.discard("density")
    assert said == missing
    again = read_image(written)
    assert again.pixels.shape == image.pixels.shape, "turned once, not twice"


@pytest.mark.parametrize("tool", ["exiftool", "exiv2"])
@pytest.mark.parametrize("target", ["jpg", "png", "tif", "webp", "avif"])
def test_other_tools_read_it(target: str, tool: str, tmp_path: Path) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    written = tmp_path / f"out.{target}"
    image = read_image(jpeg(tmp_path / "in.jpg"))
    write_image(written, dataclasses.replace(image, format=SUFFIXES[f".{target}"]))
    words = [
        "exiftool",
        "-a",
        "-s",
        "-n",
        "-validate",
        "-warning",
        "-Artist",
        "-ISO",
        "-GPSLatitude",
        "-Title",
        "-Keywords",
    ]
    words = [*words, str(written)] if tool == "exiftool" else ["exiv2", "-pa", "pr", str(written)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    expected = ["Somebody", "200", "47", "Grüße", *(["bird"] if target in ("jpg", "tif") else [])]
    assert [value for value in expected if value not in ended.stdout] == []
    assert "rror" not in ended.stdout + ended.stderr


def test_a_file_that_says_nothing_gets_nothing(tmp_path: Path) -> None:
    """Also no resolution: 25.4 pixels per inch is what libvips would make up."""
    for suffix in ("jpg", "png", "tif", "webp"):
        Image.fromarray(PIXELS).save(tmp_path / f"in.{suffix}")
        write_image(tmp_path / f"out.{suffix}", read_image(tmp_path / f"in.{suffix}"))
        with Image.open(tmp_path / f"out.{suffix}") as image:
            assert not dict(image.getexif()).keys() - {ORIENTATION} or suffix == "tif"
            assert not image.info.get("dpi"), suffix
        assert read_header(tmp_path / f"in.{suffix}").metadata == read_header(tmp_path / f"out.{suffix}").metadata
        assert read_header(tmp_path / f"in.{suffix}").converted("avif", None).notes == ()


def test_a_usual_density_is_no_loss(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", dpi=(72, 72))
    assert read_header(tmp_path / "in.jpg").converted("webp", None).notes == ()


def test_more_than_a_jpeg_holds_is_said(tmp_path: Path) -> None:
    made = exif(note=bytes(70_000))
    Image.fromarray(PIXELS).save(tmp_path / "in.png", exif=made)
    header = read_header(tmp_path / "in.png")
    assert header.converted("png", None).notes == ()
    assert header.converted("jpeg", None).notes == ("the camera's own notes not kept: JPEG holds 64 kB of EXIF",)
    write_image(tmp_path / "out.jpg", dataclasses.replace(read_image(tmp_path / "in.png"), format="jpeg"))
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[ARTIST] == "Somebody"
