"""Image files, written and checked by Pillow, tifffile and a reader of PNG chunks of our own."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, features

from nafnet.errors import ImageError, OutputError
from nafnet.images.file import ImageFile, read_header, read_image, write_image
from nafnet.images.header import Header
from nafnet.images.writer import ImageWriter

RNG = np.random.default_rng(0)
MODES = {("grey", False): "L", ("grey", True): "LA", ("rgb", False): "RGB", ("rgb", True): "RGBA"}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def random_pixels(colour: str, alpha: bool, dtype: type[np.unsignedinteger] = np.uint8) -> NDArray[np.unsignedinteger]:
    channels = (1 if colour == "grey" else 3) + alpha
    return RNG.integers(0, np.iinfo(dtype).max, (37, 53, channels), dtype, endpoint=True)


def read_png16(path: Path) -> NDArray[np.uint16]:
    """uint16[H,W,C] of a 16-bit, non-interlaced PNG, by the specification."""
    data = path.read_bytes()
    position, chunks = 8, {}
    while position < len(data):
        (length,), kind = struct.unpack(">I", data[position : position + 4]), data[position + 4 : position + 8]
        chunks[kind] = chunks.get(kind, b"") + data[position + 8 : position + 8 + length]
        position += 12 + length
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, interlace) == (16, 0)
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    step, stride = 2 * channels, 2 * channels * width
    raw = zlib.decompress(chunks[b"IDAT"])
    rows = np.zeros((height, stride), np.uint8)
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        above = rows[y - 1].tolist() if y else [0] * stride
        for x in range(stride):
            left = line[x - step] if x >= step else 0
            corner = above[x - step] if x >= step else 0
            estimate = left + above[x] - corner
            nearest = min((left, above[x], corner), key=lambda v, e=estimate: abs(e - v))  # type: ignore[misc]
            line[x] = (line[x] + (0, left, above[x], (left + above[x]) // 2, nearest)[kind]) % 256
        rows[y] = line
    return rows.view(">u2").astype(np.uint16).reshape(height, width, channels)


@pytest.mark.parametrize(("colour", "alpha"), MODES)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_lossless_8_bit_comes_back_exactly(suffix: str, colour: str, alpha: bool, tmp_path: Path) -> None:
    if suffix == "webp" and colour == "grey":
        pytest.skip("WebP holds no grey")
    pixels = random_pixels(colour, alpha)
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(pixels.squeeze(), MODES[colour, alpha]).save(source, **options)
    image = read_image(source)
    assert image.pixels.dtype == np.uint8
    assert (image.alpha is not None) == alpha
    write_image(target, image)
    with Image.open(target) as written:
        assert written.format is not None
        assert written.format.lower() == suffix
        assert np.array_equal(np.asarray(written).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_comes_back_exactly(channels: int, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65535, (37, 53, channels), np.uint16, endpoint=True)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    kind = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(tmp_path / "in.tif", pixels.squeeze(), photometric=kind, **extra)
    image = read_image(tmp_path / "in.tif")
    assert image.pixels.dtype == np.uint16
    write_image(tmp_path / "out.tif", image)
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif").reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_comes_back_exactly(channels: int, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65535, (19, 23, channels), np.uint16, endpoint=True)
    header = struct.pack(">IIBBBBB", 23, 19, 16, 0 if channels == 1 else 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    image = read_image(tmp_path / "in.png")
    assert image.pixels.dtype == np.uint16
    write_image(tmp_path / "out.png", image)
    assert np.array_equal(read_png16(tmp_path / "out.png"), pixels)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp"])
def test_profile_survives(suffix: str, tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    Image.fromarray(photograph).save(tmp_path / f"in.{suffix}", icc_profile=PROFILE)
    write_image(tmp_path / f"out.{suffix}", read_image(tmp_path / f"in.{suffix}"))
    with Image.open(tmp_path / f"out.{suffix}") as written:
        assert written.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_orientation_is_applied_and_other_exif_stays(
    suffix: str, orientation: int, tmp_path: Path, photograph: NDArray[np.uint8]
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = orientation, "Somebody"
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    Image.fromarray(photograph).save(source, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with Image.open(source) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB")).astype(int)
    header = read_header(source)
    assert (header.height, header.width) == upright.shape[:2]
    image = read_image(source)
    assert np.abs(image.pixels.astype(int) - upright).max() <= (4 if suffix == "jpg" else 0)
    write_image(target, image)
    with Image.open(target) as written:
        assert written.size == (upright.shape[1], upright.shape[0])
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x013B] == "Somebody"


def test_jpeg_is_written_at_full_colour_resolution(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    Image.fromarray(photograph).save(tmp_path / "in.jpg", quality=95, subsampling=0)
    write_image(tmp_path / "out.jpg", read_image(tmp_path / "in.jpg"))
    with Image.open(tmp_path / "out.jpg") as written:
        assert {component[1:3] for component in written.layer} == {(1, 1)}  # type: ignore[attr-defined]
        assert np.abs(np.asarray(written).astype(int) - photograph).mean() < 2


def test_palette_is_expanded(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    paletted = Image.fromarray(photograph).quantize(16)
    paletted.save(tmp_path / "in.png")
    image = read_image(tmp_path / "in.png")
    assert np.array_equal(image.pixels, np.asarray(paletted.convert("RGB")))
    write_image(tmp_path / "out.png", image)
    with Image.open(tmp_path / "out.png") as written:
        assert written.mode == "RGB", "a restored palette image has more colours than a palette holds"


def jpeg_bytes(photograph: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photograph).save(stream, "JPEG")
    return stream.getvalue()


def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    good = Image.fromarray(photograph)
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "truncated.jpg").write_bytes(jpeg_bytes(photograph)[:3000])
    good.save(tmp_path / "whole.png")
    (tmp_path / "truncated.png").write_bytes((tmp_path / "whole.png").read_bytes()[:9000])
    good.save(tmp_path / "pages.tif", save_all=True, append_images=[good.resize((9, 9))])
    tifffile.imwrite(tmp_path / "double.tif", photograph.astype(np.float64), photometric="rgb")
    reasons = {
        "text.png": "not a PNG",
        "empty.jpg": "empty",
        "truncated.jpg": "damaged JPEG",
        "truncated.png": "damaged PNG",
        "pages.tif": "2 pages not alike",
        "double.tif": "floats of 64 bits",
        "missing.png": "No such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as refusal:
            read_image(tmp_path / name)
        assert name in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", random_pixels("rgb", False, np.uint16), photometric="rgb")
    image = read_image(tmp_path / "in.tif")
    with pytest.raises(ImageError, match="16 bits"):
        write_image(tmp_path / "out.jpg", type(image)(**{**vars(image), "format": "jpeg"}))
    with pytest.raises(OutputError, match="nowhere"):
        write_image(tmp_path / "nowhere" / "out.tif", image)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_half_a_tiff_is_refused(compression: str | None, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (240, 320, 3), np.uint8)
    tifffile.imwrite(tmp_path / "whole.tif", pixels, compression=compression, rowsperstrip=8)
    data = (tmp_path / "whole.tif").read_bytes()
    # The directory stays; what the last strips held is cut away or, where they lie last, overwritten by nothing.
    (tmp_path / "half.tif").write_bytes(data[: len(data) // 2])
    assert np.array_equal(read_image(tmp_path / "whole.tif").pixels, pixels)
    with pytest.raises(ImageError, match=r"half\.tif"):
        read_image(tmp_path / "half.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_resolution_stays(suffix: str, tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / f"a.{suffix}", dpi=(300, 300))
    write_image(tmp_path / f"b.{suffix}", read_image(tmp_path / f"a.{suffix}"))
    with Image.open(tmp_path / f"b.{suffix}") as written:
        assert [round(float(value)) for value in written.info["dpi"]] == [300, 300]


def test_more_pixels_than_any_photograph_are_refused_by_the_header(tmp_path: Path) -> None:
    """A file of a few hundred bytes that claims 60,000 x 60,000."""
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = b""
    for kind, content in ((b"IHDR", size), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(ImageError, match="60000x60000 pixels; at most 1000 megapixels"):
        read_header(tmp_path / "bomb.png")


def test_white_of_10_bits_is_white_of_16(tmp_path: Path) -> None:
    """libvips shifts values to the left, so that 1023 became 65472; and back they are what they were."""
    values = np.rint(np.arange(1024) * 65535 / 1023).astype(np.uint16).reshape(32, 32, 1).repeat(3, 2)
    header = Header(
        width=32, height=32, format="avif", channels=3, alpha=False, pixel_type="uint16", bits=10, lossless=False
    )
    with ImageWriter(tmp_path / "a.avif", header, quality=100) as writer:
        writer.write(values)
        writer.finish()
    with pillow_avif(tmp_path / "a.avif") as opened:
        assert np.asarray(opened.convert("RGB")).max() == 255
    assert np.array_equal(read_image(tmp_path / "a.avif").pixels, values)


def _any_image(folder: Path) -> ImageFile:
    Image.fromarray(random_pixels("rgb", alpha=False)).save(folder / "any.png")
    return read_image(folder / "any.png")


def pillow_avif(path: Path) -> Image.Image:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    return Image.open(path)


def test_an_avif_may_begin_with_a_brand_of_both(tmp_path: Path) -> None:
    write_image(tmp_path / "a.avif", dataclasses.replace(_any_image(tmp_path), format="avif"))
    data = bytearray((tmp_path / "a.avif").read_bytes())
    assert data[4:12] == b"ftypavif"
    data[8:12] = b"mif1"
    (tmp_path / "b.avif").write_bytes(data)
    assert read_header(tmp_path / "b.avif").format == "avif"
