"""No stale field survives: what is said of the pixels is true of the restored ones, and what pointed still points."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.images.carried import XMP_ALONE
from nafnet.images.file import read_header, read_image, write_image
from nafnet.images.metadata import exif, ifd, photoshop, xmp
from nafnet.images.metadata.ifd_written import write_directory
from tests.nafnet.images.metadata.sources import (
    EXIF_IFD,
    HEIGHT,
    MAKER_NOTE,
    PIXELS,
    SONY_LIKE,
    WIDTH,
    XMP,
    jpeg,
    png,
    resources,
)  # fmt: skip
from tests.nafnet.images.metadata.sources import exif as made_exif


def block_with_thumbnail(*, at_the_end: bool = True) -> tuple[bytes, bytes]:
    """An EXIF block with a thumbnail, turned, and the thumbnail."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).resize((16, 12)).save(stream, "jpeg")
    thumbnail = stream.getvalue()
    block = made_exif(note=SONY_LIKE).tobytes().removeprefix(b"Exif\0\0")
    order = "<" if block[:2] == b"II" else ">"
    directory = ifd.read_directory(exif.reader_of(block))
    at = len(block) + len(block) % 2
    end = at + 2 + 2 * 12 + 4
    entries = struct.pack(order + "HHHIIHHII", 2, 513, 4, 1, end, 514, 4, 1, len(thumbnail)) + bytes(4)
    whole = bytearray(block.ljust(at, b"\0") + entries + thumbnail + (b"" if at_the_end else b"what else there is"))
    struct.pack_into(order + "I", whole, directory.following_at, at)
    return bytes(whole), thumbnail


def has_thumbnail(path: Path) -> bool:
    """Whether a second directory is named after the first; by the specification."""
    data = path.read_bytes()
    block = data[data.index(b"Exif\0\0") + 6 :]
    order = "<" if block[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, at)
    return bool(struct.unpack_from(order + "I", block, at + 2 + 12 * count)[0])


@pytest.mark.parametrize("at_the_end", [True, False])
def test_the_thumbnail_goes_and_nothing_else_moves(tmp_path: Path, at_the_end: bool) -> None:
    block, thumbnail = block_with_thumbnail(at_the_end=at_the_end)
    jpeg(tmp_path / "in.jpg", exif=b"Exif\0\0" + block)
    assert has_thumbnail(tmp_path / "in.jpg")
    write_image(tmp_path / "out.jpg", read_image(tmp_path / "in.jpg"))
    assert not has_thumbnail(tmp_path / "out.jpg")
    data = (tmp_path / "out.jpg").read_bytes()
    assert thumbnail[:40] not in data
    assert (b"what else there is" in data) != at_the_end
    start = data.index(b"Exif\0\0") + 6
    at = block.index(SONY_LIKE)
    assert data[start + at : start + at + len(SONY_LIKE)] == SONY_LIKE, "a maker note points by place"


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_the_camera_s_notes_stay_where_they_were(suffix: str, tmp_path: Path) -> None:
    block = made_exif(note=SONY_LIKE).tobytes()
    Image.fromarray(PIXELS).save(
        tmp_path / f"in.{suffix}", exif=block, **({"lossless": True} if suffix == "webp" else {})
    )
    write_image(tmp_path / f"out.{suffix}", read_image(tmp_path / f"in.{suffix}"))
    data, block = (tmp_path / f"out.{suffix}").read_bytes(), block.removeprefix(b"Exif\0\0")
    start = data.index(block[:16])
    assert data[start + block.index(SONY_LIKE) :].startswith(SONY_LIKE)


def test_notes_that_would_point_elsewhere_go(tmp_path: Path) -> None:
    """Into a TIFF all positions change; notes that count from their own start may stay."""
    for name, note, stays in (("sony", SONY_LIKE, False), ("apple", b"Apple iOS\0\0\1MM" + bytes(40), True)):
        jpeg(tmp_path / f"{name}.jpg", exif=made_exif(note=note))
        header = read_header(tmp_path / f"{name}.jpg")
        notes = header.converted("tiff", None).notes
        assert any("own notes not kept" in line for line in notes) != stays
        with_format = read_image(tmp_path / f"{name}.jpg")
        write_image(tmp_path / f"{name}.tif", type(with_format)(**{**vars(with_format), "format": "tiff"}))
        with Image.open(tmp_path / f"{name}.tif") as image:
            assert (MAKER_NOTE in image.getexif().get_ifd(EXIF_IFD)) == stays


def test_sides_follow_the_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "out.jpg", read_image(jpeg(tmp_path / "in.jpg")))
    with Image.open(tmp_path / "out.jpg") as image:
        inner = image.getexif().get_ifd(EXIF_IFD)
        assert (inner[0xA002], inner[0xA003]) == image.size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_block_in_either_order_and_any_width_of_number(order: str) -> None:
    """By the specification: two bytes of order, 42, the place of the directory, entries of 12 bytes."""
    entries = struct.pack(order + "HHII", 256, 4, 1, 80) + struct.pack(order + "HHIHH", 274, 3, 1, 6, 0)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 2)
    upright = exif.upright(start + entries + bytes(4), 60, 80)[0]
    assert upright == start + entries.replace(struct.pack(order + "I", 80), struct.pack(order + "I", 60)).replace(
        struct.pack(order + "HH", 6, 0), struct.pack(order + "HH", 1, 0)
    ) + bytes(4)


@pytest.mark.parametrize(
    "block",
    [
        b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff",
        b"II+\0\x08\0\0\0" + bytes(8), b"junk" * 9,
    ],
)  # fmt: skip
def test_damaged_exif_fails_no_picture(block: bytes, tmp_path: Path) -> None:
    png(tmp_path / "in.png", exif=b"Exif\0\0" + block)
    header = read_header(tmp_path / "in.png")
    assert header.metadata.exif == b"" or block == b""
    (*notes, last) = header.notes
    assert last == XMP_ALONE
    assert notes == [] or notes[0].startswith("EXIF not kept: it is damaged (")
    write_image(tmp_path / "out.png", read_image(tmp_path / "in.png"))


def test_any_damage_to_exif_is_survived() -> None:
    """Cut and changed at random: read, made upright and written into a TIFF's directory, or refused as damaged."""
    block, _ = block_with_thumbnail()
    random = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(block[: random.integers(8, len(block))])
        for _ in range(random.integers(0, 6)):
            data[random.integers(0, len(data))] = random.integers(0, 256)
        try:
            upright, _ = exif.upright(bytes(data), 60, 80)
            directory = exif.described(ifd.read_directory(exif.reader_of(upright)))
            write_directory(directory, 8, ">")
            exif.without_maker_note(upright)
        except ValueError:
            continue


MOTION = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Cam="http://ns.google.com/photos/1.0/camera/" xmlns:n="http://ns.adobe.com/xmp/note/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" hdrgm:Version="1.0" n:HasExtendedXMP="0123" Cam:MotionPhoto="1"
 Cam:MicroVideoOffset="123456" xmp:Rating="4"><Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">
<Container:Item/></rdf:li></rdf:Seq></Container:Directory>
<xmp:Thumbnails><rdf:Alt><rdf:li>base64</rdf:li></rdf:Alt></xmp:Thumbnails></rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_what_is_said_of_lost_parts_goes() -> None:
    packet, lost = xmp.upright(MOTION.encode(), 60, 80)
    for gone in (b"MotionPhoto", b"MicroVideo", b"Directory", b"hdrgm:Version", b"HasExtendedXMP=", b"Thumbnails"):
        assert gone not in packet
    assert b'xmp:Rating="4"' in packet
    assert lost == [
        "the video in it", "the pictures or the video in it", "HDR gain map", "the part of its XMP beyond 64 kB",
    ]  # fmt: skip
    ElementTree.fromstring(packet)  # still well formed


def test_a_packet_without_these_stays_to_the_byte() -> None:
    packet = XMP.replace(b"t:Orientation='6'", b"").replace(b'exif:PixelXDimension="80"', b"")
    packet = packet.replace(b"<t:ImageWidth>80</t:ImageWidth>", b"")
    assert xmp.upright(packet, 60, 80) == (packet, [])


def test_a_name_space_by_another_prefix_is_another() -> None:
    packet = XMP.replace(b"http://ns.adobe.com/tiff/1.0/", b"urn:another")
    assert b"t:Orientation='6'" in xmp.upright(packet, 60, 80)[0]


def test_photoshop_s_thumbnail_goes_and_iptc_stays() -> None:
    kept = photoshop.without_stale(resources())
    assert kept == resources(thumbnail=False)
    assert photoshop.iptc(kept) == photoshop.iptc(resources())
    for cut in range(len(resources())):
        photoshop.without_stale(resources()[:cut])


def test_exiftool_finds_no_fault_in_the_notes(tmp_path: Path) -> None:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    jpeg(tmp_path / "in.jpg", exif=made_exif(note=SONY_LIKE))
    write_image(tmp_path / "out.jpg", read_image(tmp_path / "in.jpg"))
    said = [
        subprocess.run(["exiftool", "-a", "-warning", path], capture_output=True, text=True, check=False).stdout
        for path in (tmp_path / "in.jpg", tmp_path / "out.jpg")
    ]
    assert said[0] == said[1]
