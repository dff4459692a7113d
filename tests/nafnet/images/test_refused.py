"""Files that a decoder would get wrong in silence: refused by name, whatever their layout."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images import carried
from nafnet.images.containers.tiff import first_directory
from nafnet.images.file import read_image
from nafnet.images.reader import open_image

PIXELS = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)


def old_jpeg(path: Path, *, tiled: bool) -> None:
    """A TIFF of compression 6 by its rules: one stream of JPEG, named by tags 513 and 514, for strips or tiles."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "jpeg", quality=95)
    data = stream.getvalue()
    tags = [
        (256, 4, 48), (257, 4, 32), (258, 3, 8), (259, 3, 6), (262, 3, 6), (277, 3, 3), (512, 3, 1), (513, 4, 8),
        (514, 4, len(data)),
    ]  # fmt: skip
    places = [(322, 4, 48), (323, 4, 32), (324, 4, 8), (325, 4, len(data))] if tiled else []
    places = places or [(273, 4, 8), (278, 4, 32), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags + places))
    table = struct.pack("<H", len(tags) + len(places)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + table)


@pytest.mark.parametrize("tiled", [True, False])
def test_old_style_jpeg(tiled: bool, tmp_path: Path) -> None:
    old_jpeg(tmp_path / "old.tif", tiled=tiled)
    with pytest.raises(ImageError, match="old-style JPEG inside"):
        open_image(tmp_path / "old.tif")


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"subfiletype": 1}, "a raw file"),
        ({"extratags": [(50706, 1, 4, b"\x01\x04\0\0", True)]}, "a raw file"),
        ({"photometric": 10}, "in ITULAB"),
        ({"photometric": "ycbcr"}, "in YCbCr that is not compressed as JPEG"),
        ({"planarconfig": "separate", "tile": (16, 16)}, "colours lie in tiles of their own"),
    ],
)
def test_kinds_that_the_decoder_gets_wrong(
    options: dict[str, object], reason: str, order: str, big: bool, tmp_path: Path
) -> None:
    pixels = PIXELS.transpose(2, 0, 1) if "tile" in options else PIXELS
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big, byteorder=order) as file:
        file.write(pixels, **{"photometric": "rgb", **options})  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=reason):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        (np.int8, {}, r"signed whole numbers \(8 bits\)"),
        (np.int16, {}, r"signed whole numbers \(16 bits\), whose black is not agreed on"),
        (np.int32, {}, r"signed whole numbers \(32 bits\)"),
        (np.float64, {}, "floats of 64 bits"),
        (np.uint64, {}, "64 bits a value"),
        (np.complex64, {}, "complex numbers"),
        (np.uint8, {"bitspersample": 4}, "4 bits a value, packed without gaps"),
        (np.uint16, {"bitspersample": 10}, "10 bits a value, packed without gaps"),
        (np.uint16, {"bitspersample": 12}, "12 bits a value, packed without gaps"),
        (np.uint8, {"compression": "zstd"}, "compressed by Zstandard"),
        (np.uint8, {"compression": "lzma"}, "compressed by LZMA"),
        (np.uint8, {"compression": "lerc"}, "compressed by LERC"),
        (np.uint8, {"compression": "jpeg2000"}, "compressed by JPEG 2000"),
        (np.uint8, {"compression": "jpegxl"}, "compressed by JPEG XL"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_values_and_compressions_that_are_not_read(
    kind: type, options: dict[str, object], reason: str, order: str, tmp_path: Path
) -> None:
    pixels = (PIXELS >> 4 if "bitspersample" in options else PIXELS).astype(kind)
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order) as file:
        file.write(pixels, photometric="rgb", **options)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=rf"a\.tif: a TIFF .*{reason}.*; convert it first$"):
        open_image(tmp_path / "a.tif")


def test_floats_in_which_white_is_nought(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((8, 8), np.float32), photometric="miniswhite")
    with pytest.raises(ImageError, match="white is 0"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_directory_is_what_another_library_reads(order: str, big: bool, tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big, byteorder=order) as file:
        file.write(PIXELS, photometric="rgb", compression="deflate")
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        expected = {tag.code: int(tag.value) for tag in opened.pages[0].tags if isinstance(tag.value, int)}
    found = first_directory(tmp_path / "a.tif")
    assert {code: found.number(code) for code in (256, 257, 259, 262, 277, 284)} == {
        code: expected[code] for code in (256, 257, 259, 262, 277, 284)
    }
    for cut in range(8, 60):
        (tmp_path / "cut.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:cut])
        first_directory(tmp_path / "cut.tif")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lossless.jpg", imagecodecs.ljpeg_encode(PIXELS[..., 0].astype(np.uint16) << 8)),
        ("12-bits.jpg", imagecodecs.jpeg_encode(PIXELS.astype(np.uint16) << 4, bitspersample=12)),
        ("ls.jpg", imagecodecs.jpegls_encode(PIXELS)),
        (
            "jpeg.bmp",
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 64, 0, 0, 54, 40, 48, 32, 1, 0, 4, 10, 0, 0, 0, 0) + bytes(10),
        ),
    ],
)
def test_what_a_decoder_lacks_is_not_damage(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        ImageError, match=r"a (JPEG|BMP) of a kind that its decoder does not read \(.*\); convert it first"
    ):
        read_image(tmp_path / name)


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png")
    data = stream.getvalue()
    at = data.index(b"IDAT") - 4
    made = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return data[:at] + made + data[at:]


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Comment\0caf\xe9"), (b"tEXt", b"caf\xe9\0x"), (b"iTXt", b"Title\0\0\0\0\0\xff\xfe"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x>\xff</x>"), (b"zTXt", b"Comment\0\0" + zlib.compress(b"\xe9\xff")),
    ],
)  # fmt: skip
def test_no_text_fails_a_picture(chunk: tuple[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with(chunk))
    opened = open_image(tmp_path / "a.png")
    (rows,) = opened.rows(32)
    assert np.array_equal(rows, PIXELS)


def test_metadata_has_a_limit_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "MOST_FIELD_BYTES", 1000)
    xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<x>" + b" " * 5000 + b"</x>")
    (tmp_path / "a.png").write_bytes(png_with((b"iTXt", xmp)))
    header = open_image(tmp_path / "a.png").header
    assert header.metadata.xmp == b""
    assert header.notes == ("XMP not kept: it is damaged, or over 0 MB",)
