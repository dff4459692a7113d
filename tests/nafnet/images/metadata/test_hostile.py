"""Metadata that is odd or made to harm: no picture fails of it, nothing takes long, and what is left of it is true."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.images.containers.jpeg import hole
from nafnet.images.file import read_header, read_image, write_image
from nafnet.images.formats import FORMATS
from nafnet.images.metadata import exif, photoshop, xmp
from nafnet.images.reader import open_image
from tests.nafnet.images.metadata.sources import PIXELS, PROFILE, RECORDS, XMP, jpeg, png, tiff
from tests.nafnet.images.metadata.sources import exif as made_exif
from tests.processes import GUARD

ASKED = ("png", "jpeg", "tiff", "webp")


def block(*entries: tuple[int, int, int, bytes], following: int = 0, after: bytes = b"") -> bytes:
    """An EXIF block, little-endian: tag, type, number and the four bytes of the value or of its place."""
    table = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following) + after


def orientation(kind: int, value: bytes, count: int = 1) -> tuple[int, int, int, bytes]:
    return 274, kind, count, value


SIX = struct.pack("<I", 6)
TURNED_IN_ALL_WAYS = {
    "signed byte": block(orientation(6, SIX)), "signed short": block(orientation(8, SIX)),
    "signed long": block(orientation(9, SIX)), "long": block(orientation(4, SIX)),
    "twice": block(orientation(3, SIX), orientation(3, struct.pack("<I", 1))),
}  # fmt: skip


@pytest.mark.parametrize("kind", TURNED_IN_ALL_WAYS)
def test_a_picture_is_turned_once(kind: str, tmp_path: Path) -> None:
    jpeg(tmp_path / "in.jpg", exif=b"Exif\0\0" + TURNED_IN_ALL_WAYS[kind])
    image = read_image(tmp_path / "in.jpg")
    write_image(tmp_path / "out.jpg", image)
    assert read_image(tmp_path / "out.jpg").pixels.shape == image.pixels.shape
    with Image.open(tmp_path / "out.jpg") as opened:
        assert opened.getexif().get(274, 1) == 1


BROKEN = {
    "writes over its own start": block(orientation(3, bytes(4), count=3)),
    "a thumbnail over all of it": block(
        orientation(3, SIX), following=26,
        after=struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 9, 514, 4, 1, 10**6, 0),
    ),
    "itself within": block((34665, 4, 1, struct.pack("<I", 8)), (34853, 4, 1, struct.pack("<I", 8))),
    "one value many times": block(
        *((600 + index, 7, 60_000, struct.pack("<I", 4000)) for index in range(300)), after=bytes(60_300)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_no_picture_fails_of_its_exif(kind: str, tmp_path: Path) -> None:
    jpeg(tmp_path / "in.jpg", exif=b"Exif\0\0" + BROKEN[kind])
    started = time.process_time()
    image = read_image(tmp_path / "in.jpg")
    for file_format in ASKED:
        path = tmp_path / f"out{FORMATS[file_format].suffixes[0]}"  # type: ignore[index]
        write_image(path, type(image)(**{**vars(image), "format": file_format}))
        assert path.stat().st_size < 2 * 16 * 2**20
        Image.open(path).load()
    assert time.process_time() - started < GUARD, "seconds, and not hours"


def test_a_thumbnail_that_claims_other_bytes_takes_none() -> None:
    artist = b"Somebody famous\0"
    entries = ((315, 2, len(artist), struct.pack("<I", 56)), orientation(3, SIX))
    second = struct.pack("<HHHIIHHIII", 2, 513, 4, 1, 58, 514, 4, 1, 2, 0)
    made = block(*entries, following=56 + len(artist), after=bytes(18) + artist + second)
    made = made[:38].ljust(56, b"\0") + artist + second
    changed, _ = exif.upright(made, 60, 80)
    assert artist in changed
    assert struct.unpack_from("<I", changed, 34) == (0,)


def test_what_follows_a_jpeg_is_no_damage(tmp_path: Path) -> None:
    """The video of a motion photo, or the rest of a card's sector."""
    for after in (bytes(512), b"\0\0\0\x18ftypmp42" + bytes(100)):
        path = jpeg(tmp_path / "in.jpg")
        path.write_bytes(path.read_bytes() + after)
        assert hole(path) == 0


def test_an_odd_version_is_no_damage(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "jpeg")
    data = bytearray(stream.getvalue())
    data[data.index(b"JFIF\0") + 5] = 3
    (tmp_path / "in.jpg").write_bytes(data)
    reader = open_image(tmp_path / "in.jpg")
    (rows,) = reader.rows(60)
    assert rows.shape == PIXELS.shape
    assert reader.damage == ""


def test_the_density_is_turned_as_well(tmp_path: Path) -> None:
    given = jpeg(tmp_path / "in.jpg", dpi=(300, 150))
    write_image(tmp_path / "out.jpg", read_image(given))
    with Image.open(tmp_path / "out.jpg") as opened:
        assert opened.info["dpi"] == (150, 300)


FORMS: dict[str, Callable[[str], str]] = {
    "a name space by default": lambda text: text.replace("<t:ImageWidth>80</t:ImageWidth>", "<Orientation "
        "xmlns='http://ns.adobe.com/tiff/1.0/'>6</Orientation>"),
    "within rdf:value": lambda text: text.replace("<t:ImageWidth>80</t:ImageWidth>",
        "<t:Orientation><rdf:value>6</rdf:value></t:Orientation>"),
    "a comment inside": lambda text: text.replace("<t:ImageWidth>80</t:ImageWidth>",
        "<t:Orientation><!-- turned -->6</t:Orientation>"),
    "an entity": lambda text: "<!DOCTYPE x [<!ENTITY six '6'>]>" + text[text.index("<x:"):].replace("'6'", "'&six;'"),
    "a sharp attribute": lambda text: text.replace("<t:ImageWidth>80</t:ImageWidth>",
        "<t:Orientation xml:lang='a>b'>6</t:Orientation>"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_orientation_in_any_form_is_changed_or_the_packet_goes(form: str) -> None:
    text = XMP.decode().replace("t:Orientation='6'", "") if form != "an entity" else XMP.decode()
    changed = FORMS[form](text)
    assert changed != text
    with pytest.raises(ValueError, match=r"form that is not changed|defines entities|would be damaged"):
        xmp.upright(changed.encode(), 60, 80)


def test_utf_16_is_not_taken_for_utf_8() -> None:
    for packet in (XMP.decode().encode("utf-16-le"), XMP.decode().encode("utf-16")):
        with pytest.raises(ValueError, match="not in UTF-8"):
            xmp.upright(packet, 60, 80)


def test_many_prefixes_take_no_time() -> None:
    named = "".join(f" xmlns:p{index}='http://ns.adobe.com/tiff/1.0/'" for index in range(20_000))
    packet = XMP.replace(b"<rdf:Description ", b"<rdf:Description" + named.encode() + b" ")
    started = time.process_time()
    with contextlib.suppress(ValueError):  # more prefixes than are looked at
        xmp.upright(packet, 60, 80)
    assert time.process_time() - started < GUARD


def test_faces_are_where_they_were_or_go() -> None:
    regions = b"<r:Regions xmlns:r='http://www.metadataworkinggroup.com/schemas/regions/'><r:RegionList/></r:Regions>"
    packet = XMP.replace(b"<t:ImageWidth>80</t:ImageWidth>", regions)
    kept, lost = xmp.upright(packet, 60, 80)
    assert b"RegionList" in kept
    assert lost == []
    turned, lost = xmp.upright(packet, 60, 80, quarter=True)
    assert b"RegionList" not in turned
    assert lost == ["the places of faces in its XMP"]


def test_chunks_behind_the_pixels_are_read(tmp_path: Path) -> None:
    png(tmp_path / "plain.png", exif=None, pnginfo=None)
    data = (tmp_path / "plain.png").read_bytes()
    compressed = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)
    chunks = ((b"eXIf", made_exif(orientation=1).tobytes().removeprefix(b"Exif\0\0")), (b"iTXt", compressed))
    made = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    ghost = struct.pack(">I4s", 5, b"tEXt") + b"A\0bcd" + bytes(4)
    (tmp_path / "in.png").write_bytes(data[:-12] + made + data[-12:] + ghost)
    metadata = read_header(tmp_path / "in.png").metadata
    assert b"Somebody" in metadata.exif
    assert "Grüße".encode() in metadata.xmp
    assert metadata.texts == (), "nothing stands behind the end"


def test_many_small_things_are_a_few_notes(tmp_path: Path) -> None:
    data = jpeg(tmp_path / "in.jpg").read_bytes()
    (tmp_path / "many.jpg").write_bytes(data[:2] + b"\xff\xe2\0\x06MPF\0" * 20_000 + data[2:])
    assert len(read_header(tmp_path / "many.jpg").notes) == 1
    text = struct.pack(">I4s", 2, b"tEXt") + b"A\0" + struct.pack(">I", zlib.crc32(b"tEXtA\0"))
    data = png(tmp_path / "in.png", pnginfo=None).read_bytes()
    (tmp_path / "many.png").write_bytes(data[:33] + text * 1_300_000 + data[33:])
    header = read_header(tmp_path / "many.png")
    assert len(header.metadata.texts) * 14 <= 16 * 2**20
    assert len(header.notes) == 1


def test_records_of_another_order_are_put_right(tmp_path: Path) -> None:
    turned = b"".join(RECORDS.ljust(12, b"\0")[at : at + 4][::-1] for at in range(0, 12, 4))
    tiff(tmp_path / "in.tif")
    header = read_header(tmp_path / "in.tif")
    assert RECORDS in header.metadata.photoshop
    assert photoshop.in_order(turned).rstrip(b"\0") == RECORDS
    assert photoshop.in_order(RECORDS) == RECORDS


@pytest.mark.parametrize(
    ("channels", "icc", "kept", "note"),
    [
        (1, PROFILE, b"", "colour profile not kept: it is one of colours, and the picture is grey"),
        (3, b"junk" * 99, b"", "colour profile not kept: it is damaged"),
        (3, PROFILE + bytes(15 * 2**20 + 2**19), None, ""),
    ],
)
def test_profiles_that_do_not_fit(channels: int, icc: bytes, kept: bytes | None, note: str, tmp_path: Path) -> None:
    pixels = PIXELS if channels == 3 else np.ascontiguousarray(PIXELS[:, :, 0])
    Image.fromarray(pixels).save(tmp_path / "in.tif", icc_profile=icc)
    target = read_header(tmp_path / "in.tif").converted("jpeg", None)
    assert target.metadata.icc == (icc if kept is None else kept)
    assert target.notes == ((note,) if note else ())


def test_further_resources_and_comments_are_not_lost_in_silence(tmp_path: Path) -> None:
    data = jpeg(tmp_path / "in.jpg").read_bytes()
    first = b"Photoshop 3.0\0" + b"PHUT" + struct.pack(">HHI", 1000, 0, 2) + b"ab"
    more = b"\xff\xed" + struct.pack(">H", len(first) + 2) + first + b"\xff\xfe\0\x05two"
    (tmp_path / "two.jpg").write_bytes(data[:2] + more + data[2:])
    header = read_header(tmp_path / "two.jpg")
    assert RECORDS in header.metadata.photoshop
    assert b"PHUT" in header.metadata.photoshop
    assert header.notes == ("a second comment not kept",)
