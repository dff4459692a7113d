"""Several pictures in one JPEG: by Pillow (MPO), by libultrahdr through libvips, by hand as Ultra HDR 1.1 has it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, MpoImagePlugin

from nafnet.images.file import read_header, read_image, write_image
from nafnet.runtime.paths.work import Request, find_work

Y, X = np.mgrid[:64, :96]
SMOOTH = np.stack([X * 2, Y * 3, X + Y], -1).astype(np.uint8)
GONE = (b"MPF\0", b"21496", b"hdrgm", b"hdr-gain-map", b"Container", b"GainMap")
ULTRA = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"
 xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"><C:Directory><rdf:Seq>
<rdf:li rdf:parseType="Resource"><C:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>
<rdf:li rdf:parseType="Resource"><C:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="%d"/></rdf:li>
</rdf:Seq></C:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"""


def jpeg(pixels: np.typing.NDArray[np.uint8], **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", quality=95, **options)
    return stream.getvalue()


def mpo(path: Path) -> None:
    Image.fromarray(SMOOTH).save(
        path, "MPO", save_all=True, append_images=[Image.fromarray(255 - SMOOTH)], quality=95, subsampling=0
    )


def iso_ultra_hdr(path: Path) -> None:
    light = (SMOOTH / 64).astype(np.float32)
    pyvips.Image.new_from_array(light, interpretation="scrgb").uhdrsave(str(path))


def xmp_ultra_hdr(path: Path) -> None:
    """By the specification: XMP that names both, a table of both (MPF), the picture, the gain map."""
    gain = jpeg(SMOOTH[::4, ::4, 0])
    main = jpeg(SMOOTH, xmp=(ULTRA % len(gain)).encode())
    entries = struct.pack(">IIIHH", 0x30000, len(main) + 92, 0, 0, 0) + struct.pack(
        ">IIIHH", 0, len(gain), len(main), 0, 0
    )
    table = b"MM\0*" + struct.pack(">IH", 8, 3) + struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    table += struct.pack(">HHII", 0xB001, 4, 1, 2) + struct.pack(">HHII", 0xB002, 7, 32, 50) + bytes(4) + entries
    segment = b"\xff\xe2" + struct.pack(">H", len(table) + 6) + b"MPF\0" + table
    path.write_bytes(main[:2] + segment + main[2:] + gain)


CASES = {
    mpo: "the further pictures in it not kept: a preview, or another view",
    iso_ultra_hdr: "HDR gain map not kept",
    xmp_ultra_hdr: "HDR gain map not kept",
}


@pytest.mark.parametrize("write", CASES)
def test_the_main_picture_is_restored_alone(write: object, tmp_path: Path) -> None:
    assert callable(write)
    write(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    assert b"MPF\0" in before
    assert before.count(b"\xff\xd8\xff") == 2
    with Image.open(tmp_path / "a.jpg") as opened:
        expected = np.asarray(opened.convert("RGB")).astype(int)
    write_image(tmp_path / "b.jpg", read_image(tmp_path / "a.jpg"))
    notes = read_header(tmp_path / "a.jpg").notes
    assert CASES[write] in notes  # type: ignore[index]
    assert len(notes) <= 2
    after = (tmp_path / "b.jpg").read_bytes()
    assert after.count(b"\xff\xd8\xff") == 1
    assert not [name for name in GONE if name in after]
    with Image.open(tmp_path / "b.jpg") as opened:
        assert not isinstance(opened, MpoImagePlugin.MpoImageFile)
        assert np.abs(np.asarray(opened).astype(int) - expected).mean() < 1.5
    with pytest.raises(pyvips.Error):
        pyvips.Image.uhdrload(str(tmp_path / "b.jpg"))
    if write is xmp_ultra_hdr:
        assert b'xmp:Rating="4"' in after


@pytest.mark.parametrize("write", CASES)
def test_what_is_cut_off_behind_the_main_picture_does_not_matter(write: object, tmp_path: Path) -> None:
    assert callable(write)
    write(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    expected = read_image(tmp_path / "a.jpg").pixels
    (tmp_path / "a.jpg").write_bytes(data[: data.rindex(b"\xff\xd8\xff") + 100])
    assert np.array_equal(read_image(tmp_path / "a.jpg").pixels, expected)


def test_an_mpo_s_result_is_called_jpg(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    mpo(tmp_path / "in" / "a.mpo")
    work = find_work(Request(inputs=[tmp_path / "in"], output=tmp_path / "out"))
    assert [job.target.name for job in work.jobs] == ["a.jpg"]
