"""What turns a picture: EXIF, wherever it stands in a PNG, once; XMP never. And PNG's texts, to the byte."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nafnet.errors import ImageError
from nafnet.images.carried import XMP_ALONE
from nafnet.images.file import read_header, read_image, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[0x0112], made[0x013B] = orientation, "Somebody"
    return made.tobytes()


def raw_profile(kind: bytes, data: bytes) -> bytes:
    """As ImageMagick writes it into a text: a name, the number of bytes, lines of 72 hexadecimal digits."""
    digits = data.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return b"\n" + kind + b"\n" + f"{len(data):8}".encode() + b"\n" + lines + b"\n"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path: Path, *chunks: tuple[bytes, bytes], behind: bool = False) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    data = stream.getvalue()
    at = len(data) - 12 if behind else 33
    path.write_bytes(data[:at] + b"".join(chunk(*each) for each in chunks) + data[at:])


def turned(orientation: int) -> NDArray[np.uint8]:
    """By Pillow."""
    image = Image.fromarray(PIXELS)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def text_chunk(form: str, key: bytes, text: bytes) -> tuple[bytes, bytes]:
    if form == "tEXt":
        return b"tEXt", key + b"\0" + text
    if form == "zTXt":
        return b"zTXt", key + b"\0\0" + zlib.compress(text)
    if form == "iTXt":
        return b"iTXt", key + b"\0\0\0\0\0" + text
    return b"iTXt", key + b"\0\1\0en\0\0" + zlib.compress(text)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("form", ["tEXt", "zTXt", "iTXt", "iTXt compressed"])
@pytest.mark.parametrize("kind", [b"exif", b"APP1"])
@pytest.mark.parametrize("start", [b"Exif\0\0", b""])
def test_exif_in_a_text_of_a_png(kind: bytes, form: str, start: bytes, behind: bool, tmp_path: Path) -> None:
    """It turns the picture once, and is carried as EXIF."""
    text = raw_profile(kind, start + exif(6).removeprefix(b"Exif\0\0"))
    png(tmp_path / "a.png", text_chunk(form, b"Raw profile type " + kind, text), behind=behind)
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    assert read_header(tmp_path / "a.png").notes == ()
    with Image.open(tmp_path / "b.png") as opened:
        assert np.array_equal(np.asarray(opened), turned(6))
        assert (opened.getexif()[0x013B], opened.getexif()[0x0112]) == ("Somebody", 1)
        assert not any(key.startswith("Raw") for key in opened.info)


def test_xmp_in_a_text_of_a_png(tmp_path: Path) -> None:
    name = b"http://ns.adobe.com/xap/1.0/\0"
    for kind, data in ((b"xmp", XMP), (b"APP1", name + XMP)):
        png(tmp_path / "a.png", (b"tEXt", b"Raw profile type " + kind + b"\0" + raw_profile(kind, data)))
        header = read_header(tmp_path / "a.png")
        assert header.metadata.xmp == XMP.replace(b'"6"', b'"1"')
        assert (header.width, header.notes) == (40, (XMP_ALONE,))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_before_or_behind_the_pixels_of_a_png(orientation: int, behind: bool, tmp_path: Path) -> None:
    """Where a file has both, its own chunk counts."""
    other = (b"tEXt", b"Raw profile type exif\0" + raw_profile(b"exif", exif(3)))
    png(tmp_path / "a.png", other, (b"eXIf", exif(orientation).removeprefix(b"Exif\0\0")), behind=behind)
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, turned(orientation))
    assert read_header(tmp_path / "a.png").notes == ("EXIF in a text not kept: the file has another",)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\nexif\n", b"\nexif\n 8\nzz", b"\nexif\n 80\n4949", b"\nexif\n x\n4949", b"exif 99999999999999 49",
        b"\nexif\n 2\n494", b"\0\xff", b"\nexif\n4\n49492a00",
    ],
)  # fmt: skip
def test_damaged_exif_in_a_text(text: bytes, tmp_path: Path) -> None:
    png(tmp_path / "a.png", (b"tEXt", b"Raw profile type exif\0" + text))
    (note,) = read_header(tmp_path / "a.png").notes
    assert note.startswith(("EXIF in a text not kept: it is damaged", "EXIF not kept: it is damaged"))
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, PIXELS)


def test_a_compressed_text_of_many_megabytes(tmp_path: Path) -> None:
    bomb = zlib.compress(b"\nexif\n 40000000\n" + b"0" * 80_000_000, 9)
    png(tmp_path / "a.png", (b"zTXt", b"Raw profile type exif\0\0" + bomb))
    assert read_header(tmp_path / "a.png").notes == ("EXIF in a text not kept: it is damaged",)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("element", [False, True])
def test_xmp_turns_nothing(suffix: str, element: bool, tmp_path: Path) -> None:
    """As browsers have it; a note says so, and after it XMP agrees."""
    packet = XMP
    if element:
        packet = XMP.replace(b' tiff:Orientation="6"/>', b"><tiff:Orientation>6</tiff:Orientation></rdf:Description>")
    if suffix == "png":
        png(tmp_path / "a.png", (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    else:
        options: dict[str, Any] = {"tiffinfo": {700: packet}} if suffix == "tif" else {"xmp": packet, "quality": 95}
        Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", **options)
    header = read_header(tmp_path / f"a.{suffix}")
    assert (header.width, header.height, header.notes) == (40, 24, (XMP_ALONE,))
    write_image(tmp_path / f"b.{suffix}", read_image(tmp_path / f"a.{suffix}"))
    assert read_header(tmp_path / f"b.{suffix}").notes == ()


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_exif_and_xmp_turn_it_once(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}", exif=exif(6), xmp=XMP, quality=95)
    header = read_header(tmp_path / f"a.{suffix}")
    assert (header.width, header.height, header.notes) == (24, 40, ())
    assert b'"1"' in header.metadata.xmp


TEXTS = (
    (b"tEXt", b"Author\0Jos\xe9"), (b"tEXt", b"caf\xe9\0\xff\xfe"), (b"iTXt", b"Title\0\0\0\0\0caf\xc3\xff"),
    (b"iTXt", b"Title\0\1\0de\0\xff\0" + zlib.compress(b"\xff\xfe")),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"\xe9\xff")),
)  # fmt: skip


@pytest.mark.parametrize("behind", [False, True])
def test_texts_in_any_coding_are_kept_to_the_byte(behind: bool, tmp_path: Path) -> None:
    png(tmp_path / "a.png", *TEXTS, behind=behind)
    assert read_header(tmp_path / "a.png").notes == ()
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    data = (tmp_path / "b.png").read_bytes()
    assert all(data.count(chunk(*text)) == 1 for text in TEXTS)


def apng(path: Path, *, frames: int, first: bool = True) -> None:
    """An animation by PNG's third edition, section 11.3.6: the picture is its first frame, or is not one of them."""
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 40, 24, 0, 0, 1, 10, 0, 0))
    png(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + control + (frame if first else b"") + data[33:])


def test_an_animation_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    apng(tmp_path / "a.png", frames=1)
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    assert b"acTL" not in (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "b.png") as opened:
        assert np.array_equal(np.asarray(opened), PIXELS)


@pytest.mark.parametrize(("frames", "first"), [(2, True), (1, False), (2**32 - 1, True)])
def test_other_animations_are_not(frames: int, first: bool, tmp_path: Path) -> None:
    apng(tmp_path / "a.png", frames=frames, first=first)
    with pytest.raises(ImageError, match="animation"):
        read_image(tmp_path / "a.png")
