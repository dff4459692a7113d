"""JPEG XL in and out: files of another library are read, and ours are read by it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import random
import struct
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nafnet.errors import ImageError
from nafnet.images.containers import jxl as boxes
from nafnet.images.decoders import jxl
from nafnet.images.file import ImageFile, read_header, read_image, write_image
from nafnet.images.formats import sniff
from nafnet.images.metadata.metadata import NOTHING, Metadata
from nafnet.images.reader import open_image
from nafnet.images.writer import ImageWriter
from tests.nafnet.images.decoders.refusing import refused

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'


def values(dtype: Any, bands: int) -> NDArray[Any]:
    generator = np.random.default_rng(bands)
    if dtype == np.float32:
        return generator.random((48, 61, bands), np.float32)
    return generator.integers(0, np.iinfo(dtype).max, (48, 61, bands), dtype, endpoint=True)


def exif(orientation: int = 6) -> bytes:
    block = Image.Exif()
    block[271], block[274] = "Maker", orientation
    return block.tobytes().removeprefix(b"Exif\0\0")


def picture(pixels: NDArray[Any], *, lossless: bool = True, metadata: Metadata = NOTHING) -> ImageFile:
    alpha = pixels[:, :, -1] if pixels.shape[2] in (2, 4) else None
    colours = pixels if alpha is None else pixels[:, :, :-1]
    return ImageFile(pixels=colours, alpha=alpha, format="jxl", lossless=lossless, metadata=metadata)


def together(image: ImageFile) -> NDArray[Any]:
    return image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])


def boxed(stream: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A container of a bare code stream and further boxes."""
    parts = ((b"ftyp", b"jxl \0\0\0\0jxl "), *extra, (b"jxlc", stream))
    return boxes.CONTAINER + b"".join(struct.pack(">I", 8 + len(data)) + name + data for name, data in parts)


def bare(pixels: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=False))


@pytest.mark.parametrize(("dtype", "bands"), list(itertools.product((np.uint8, np.uint16, np.float32), (1, 2, 3, 4))))
def test_in(dtype: Any, bands: int, tmp_path: Path) -> None:
    pixels = values(dtype, bands)
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    image = read_image(tmp_path / "a.jxl")
    assert np.array_equal(together(image), pixels)
    assert image.pixels.dtype == dtype
    assert image.lossless
    (tmp_path / "b.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, distance=1.0))
    assert not read_header(tmp_path / "b.jxl").lossless


@pytest.mark.parametrize(("dtype", "bands"), list(itertools.product((np.uint8, np.uint16, np.float32), (1, 2, 3, 4))))
def test_out(dtype: Any, bands: int, tmp_path: Path) -> None:
    pixels = values(dtype, bands)
    write_image(tmp_path / "a.jxl", picture(pixels))
    decoded = imagecodecs.jpegxl_decode((tmp_path / "a.jxl").read_bytes())
    expected = pixels if bands != 2 else np.dstack([pixels[:, :, :1]] * 3 + [pixels[:, :, 1:]])
    assert np.array_equal(decoded.reshape(expected.shape), expected)


def test_by_quality_if_the_source_was_not_lossless(tmp_path: Path) -> None:
    smooth = np.dstack([np.add.outer(np.arange(200), np.arange(300)) * 100 + shift for shift in (0, 999, 5000)])
    sizes = {}
    for quality in (50, 95, 100):
        write_image(tmp_path / "a.jxl", picture(smooth.astype(np.uint16), lossless=False), quality=quality)
        sizes[quality] = (tmp_path / "a.jxl").stat().st_size
        header = read_header(tmp_path / "a.jxl")
        assert (header.lossless, header.pixel_type) == (False, "uint16")
        decoded = imagecodecs.jpegxl_decode((tmp_path / "a.jxl").read_bytes())
        assert np.abs(decoded.astype(float) - smooth).mean() < 65535 * 0.02
    assert sizes[50] < sizes[95] < sizes[100]


def test_what_it_carries(tmp_path: Path) -> None:
    metadata = Metadata(icc=PROFILE, exif=exif(1), xmp=XMP)
    write_image(tmp_path / "a.jxl", picture(values(np.uint16, 3), metadata=metadata))
    found = read_header(tmp_path / "a.jxl").metadata
    assert (found.icc, found.xmp) == (PROFILE, XMP)
    block = Image.Exif()
    block.load(found.exif)
    assert (block[271], block[274]) == ("Maker", 1)
    write_image(tmp_path / "b.jxl", picture(values(np.uint8, 3), metadata=Metadata(codes=(12, 16), xmp=XMP)))
    found = read_header(tmp_path / "b.jxl").metadata
    assert (found.codes, found.xmp) == ((12, 16), XMP)
    write_image(tmp_path / "c.jxl", picture(values(np.uint8, 3)))
    found = read_header(tmp_path / "c.jxl").metadata
    assert (found.icc, found.codes) == (b"", (1, 13)), "no profile is made up for sRGB"


@pytest.mark.parametrize("transfer", [13, 8, 16])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_grey_keeps_its_transfer_function(dtype: Any, transfer: int, tmp_path: Path) -> None:
    """Where the library writes that of colours alone, it is written as colours."""
    image = picture(values(dtype, 1), metadata=Metadata(codes=(1, transfer)))
    write_image(tmp_path / "a.jxl", image)
    found = read_image(tmp_path / "a.jxl")
    assert found.metadata.codes == (1, transfer)
    assert np.array_equal(found.pixels, np.broadcast_to(image.pixels, found.pixels.shape))


def test_boxes_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import brotli

    stream, block = bare(values(np.uint8, 3)), bytes(4) + exif()
    (tmp_path / "a.jxl").write_bytes(boxed(stream, (b"Exif", block), (b"xml ", XMP)))
    packed = ((b"brob", b"Exif" + brotli.compress(block)), (b"brob", b"xml " + brotli.compress(XMP)))
    (tmp_path / "b.jxl").write_bytes(boxed(stream, *packed))
    for name in ("a.jxl", "b.jxl"):
        image = read_image(tmp_path / name)
        assert np.array_equal(image.pixels, values(np.uint8, 3)), "the code stream alone says how it is turned"
        assert image.metadata.xmp == XMP
        told = Image.Exif()
        told.load(image.metadata.exif)
        assert (told[271], told[274]) == ("Maker", 1)
    monkeypatch.setattr(boxes, "MOST_BOX_BYTES", 10_000_000)
    (tmp_path / "c.jxl").write_bytes(boxed(stream, (b"brob", b"xml " + brotli.compress(bytes(10**8)))))
    assert read_header(tmp_path / "c.jxl").metadata.xmp == b"", "a bomb is not unpacked"
    monkeypatch.setitem(sys.modules, "brotli", None)
    assert any("brotli is not installed" in note for note in read_header(tmp_path / "b.jxl").notes)


def test_the_code_stream_turns_it() -> None:
    """libjxl's lossless transcoding of a JPEG puts its EXIF orientation there; the bits are set here by hand."""
    pixels = values(np.uint8, 3)
    data = bytearray(bare(pixels))
    bits = int.from_bytes(data, "little")
    at = 16 + 1 + 2 + 9 + 3 + 2 + 9  # behind the size, whose sides take 9 bits each
    assert (bits >> at) & 1 == 0, "not all as by default"
    assert (bits >> (at + 1)) & 1 == 0, "no further fields"
    head, rest = bits & ((1 << (at + 1)) - 1), bits >> (at + 2)
    turned = head | 1 << (at + 1) | 5 << (at + 2) | rest << (at + 8)  # orientation 6, and nothing else
    found = boxes._stream(turned.to_bytes(len(data) + 1, "little"))
    assert found == boxes.Stream((61, 48), lossless=True, quarter=True)


def test_an_animation_is_refused_by_its_name(tmp_path: Path) -> None:
    frames = np.stack([values(np.uint8, 3)] * 3)
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, photometric="rgb"))
    with pytest.raises(ImageError, match="an animation"):
        open_image(tmp_path / "a.jxl")


def test_hostile_files_are_one_line(tmp_path: Path) -> None:
    whole, path, chance = boxed(bare(values(np.uint8, 3)), (b"Exif", exif())), tmp_path / "a.jxl", random.Random(0)
    damaged = [whole[:size] for size in range(12, len(whole) - 8, len(whole) // 20)]
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(12, len(data) if chance.random() < 0.5 else 200)] = chance.randrange(256)
        damaged.append(bytes(data))
    assert refused(path, damaged) > 30
    for data in damaged[:20]:
        path.write_bytes(data)
        with pytest.raises(ImageError):
            read_image(path)


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jxl").write_bytes(bare(values(np.uint8, 3)))
    monkeypatch.setattr(jxl, "_decoded", None)
    with pytest.raises(ImageError, match="61x48 pixels; at most"):
        open_image(tmp_path / "a.jxl", max_pixels=2000)


def test_without_the_library_a_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = values(np.uint8, 3)
    (tmp_path / "a.jxl").write_bytes(bare(pixels))
    assert sniff(bare(pixels)) == sniff(boxed(bare(pixels))) == "jxl"
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    line = r"JPEG XL needs OpenImageIO .*: pip install 'nafnet-toolchain\[jxl\]'"
    with pytest.raises(ImageError, match=line):
        open_image(tmp_path / "a.jxl")
    with pytest.raises(ImageError, match=line):  # before any work, and not when it is done
        ImageWriter(tmp_path / "b.jxl", dataclasses.replace(picture(pixels).header))


def test_a_lossy_picture_of_an_unusual_profile_keeps_its_values(tmp_path: Path) -> None:
    """A profile's colours are exchanged for libjxl's own and back: they must not come out as sRGB's."""
    stream = io.BytesIO()
    ramp = np.linspace(30, 220, 64 * 96).reshape(64, 96)
    pixels = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "png")
    gamma = PROFILE.replace(_curve(PROFILE), _gamma(_curve(PROFILE), 1.8))
    assert gamma != PROFILE
    metadata = Metadata(icc=gamma)
    write_image(tmp_path / "a.jxl", picture(pixels, lossless=False, metadata=metadata), quality=95)
    image = read_image(tmp_path / "a.jxl")
    assert np.abs(image.pixels.astype(int) - pixels).mean() < 2
    assert image.metadata.icc or image.metadata.codes


def _curve(profile: bytes) -> bytes:
    """The tone curve of a profile of Pillow's, which its three colours share."""
    at = profile.index(b"para", 128)
    return profile[at : at + 32]


def _gamma(curve: bytes, gamma: float) -> bytes:
    """A curve of that form that is a power alone."""
    numbers = (gamma, 1.0, 0.0, 0.0, 0.0)
    return curve[:12] + b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (256, 256), (300, 200), (1600, 900), (37, 53), (600, 3)])
def test_the_size_is_known_before_anything_is_decoded(size: tuple[int, int], tmp_path: Path) -> None:
    """OpenImageIO decodes the whole picture to say how large it is: 17 kB were 144 megapixels and ten seconds."""
    width, height = size
    path = tmp_path / "a.jxl"
    path.write_bytes(imagecodecs.jpegxl_encode(np.zeros((height, width, 3), np.uint8), lossless=True))
    assert boxes.stream(path).size == size
    with pytest.raises(ImageError, match=rf"{width}x{height} pixels; at most 0\.0001 megapixels"):
        open_image(path, max_pixels=100)
