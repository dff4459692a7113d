"""EXIF of raw files that are no TIFF, laid out as Canon's CR3 and Fuji's RAF are, of blocks that Pillow wrote."""

from __future__ import annotations

import io
import struct
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nafnet.images.containers.camera import NOT_MOVED, camera_metadata
from nafnet.images.decoders import raw
from nafnet.images.file import read_header

CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")


def block(tags: dict[int, Any]) -> bytes:
    made = Image.Exif()
    made.update(tags)
    return made.tobytes().removeprefix(b"Exif\0\0")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


BLOCKS = {
    b"CMT1": block({271: "Canon", 272: "Canon EOS R5", 274: 6, 315: "Somebody"}),
    b"CMT2": block({33437: 2.8, 34855: 3200}),
    b"CMT3": block({1: "of its own"}),
    b"CMT4": block({1: "N", 2: (47.0, 6.0, 0.0)}),
}


def cr3(blocks: dict[bytes, bytes]) -> bytes:
    canon = CANON + box(b"CNCV", b"CanonCR3_001") + b"".join(box(*each) for each in blocks.items())
    preview = box(b"uuid", bytes(16) + b"a preview")
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", box(b"uuid", canon) + preview) + box(b"mdat", bytes(99))


def raf() -> bytes:
    exif = Image.Exif()
    exif[271], exif[274], exif[315] = "FUJIFILM", 6, "Somebody"
    exif.get_ifd(0x8769)[34855] = 3200
    stream = io.BytesIO()
    Image.fromarray(np.zeros((24, 40, 3), np.uint8)).save(stream, "jpeg", exif=exif)
    preview = stream.getvalue()
    head = b"FUJIFILMCCD-RAW 0201FF383501X-T5".ljust(84, b"\0") + struct.pack(">II", 148, len(preview))
    return head.ljust(148, b"\0") + preview + b"the sensor's values"


def read(data: bytes) -> Image.Exif:
    found = Image.Exif()
    found.load(data)
    return found


def test_canon_s_blocks_become_one(tmp_path: Path) -> None:
    (tmp_path / "a.cr3").write_bytes(cr3(BLOCKS))
    data, xmp, lost = camera_metadata(tmp_path / "a.cr3")
    found = read(data)
    assert (found[271], found[272], found[315]) == ("Canon", "Canon EOS R5", "Somebody")
    assert found.get_ifd(0x8769) == {33437: 2.8, 34855: 3200}
    assert found.get_ifd(0x8825) == {1: "N", 2: (47.0, 6.0, 0.0)}
    assert (xmp, lost) == (b"", [NOT_MOVED])


def test_fuji_s_block_is_its_preview_s(tmp_path: Path) -> None:
    (tmp_path / "a.raf").write_bytes(raf())
    data, _, lost = camera_metadata(tmp_path / "a.raf")
    assert (read(data)[315], read(data).get_ifd(0x8769)[34855]) == ("Somebody", 3200)
    assert lost == []


@pytest.mark.parametrize("name", ["a.cr3", "a.raf"])
def test_it_is_carried_upright(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LibRaw's part is played: it turns the picture."""
    sizes = types.SimpleNamespace(width=40, height=24, pixel_aspect=1.0, flip=6, raw_width=40, raw_height=24)

    class Camera:
        camera_whitebalance, num_colors = (2.0, 1.0, 1.5, 0.0), 3

        def __init__(self) -> None:
            self.sizes = sizes

        def open_file(self, path: str) -> None:
            assert path.endswith(name)

        def unpack(self) -> None:
            pass

    library = types.SimpleNamespace(RawPy=Camera, LibRawError=RuntimeError)
    monkeypatch.setattr(raw, "library", lambda *_, **__: library)
    (tmp_path / name).write_bytes(cr3(BLOCKS) if name == "a.cr3" else raf())
    header = read_header(tmp_path / name)
    assert read(header.metadata.exif).get(274, 1) == 1
    assert read(header.metadata.exif)[315] == "Somebody"
    assert header.notes == ((NOT_MOVED,) if name == "a.cr3" else ())


@pytest.mark.parametrize("whole", [cr3(BLOCKS), raf()])
def test_damage_is_survived(whole: bytes, tmp_path: Path) -> None:
    for cut in range(16, len(whole), 3):
        (tmp_path / "a").write_bytes(whole[:cut])
        camera_metadata(tmp_path / "a")
    random = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(whole)
        for place in random.integers(16, len(data), 4):
            data[place] = random.integers(0, 256)
        (tmp_path / "a").write_bytes(data)
        camera_metadata(tmp_path / "a")


@pytest.mark.parametrize("blocks", [{}, {b"CMT2": BLOCKS[b"CMT2"]}, {**BLOCKS, b"CMT1": b"junk"}])
def test_without_a_first_directory_there_is_none(blocks: dict[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.cr3").write_bytes(cr3(blocks))
    assert camera_metadata(tmp_path / "a.cr3") == (b"", b"", [])
