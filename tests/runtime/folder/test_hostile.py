"""A folder of everything that ever broke a reader of images: no crash, no hang, each reported, all good ones done."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.platforms import HAVE_BYTES, HAVE_LINKS, HAVE_PIPES, WINDOWS
from tests.processes import GUARD

PROGRAM = Path(sys.executable).with_name("nafnet-run")
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WebP", "tif": "TIFF", "avif": "AVIF", "bmp": "BMP", "ppm": "PPM"}


def encoded(picture: NDArray[np.uint8], suffix: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, FORMATS[suffix])
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims so many pixels."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(10_000))),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def fill(folder: Path, picture: NDArray[np.uint8]) -> tuple[set[str], set[str], set[str]]:
    """Write the folder; returns the names that must be restored, must fail, and may be either."""
    good, bad, either = set(), set(), set()
    chance = random.Random(0)

    def put(name: str, data: bytes, names: set[str]) -> None:
        (folder / name).write_bytes(data)
        names.add(name)

    for suffix in FORMATS:
        whole = encoded(picture, suffix)
        put(f"good.{suffix}", whole, good)
        for tenth in range(10):
            # Formats whose last bytes are padding or nothing but an end mark may do without them.
            put(f"cut-{tenth}.{suffix}", whole[: len(whole) * tenth // 10], bad)
        for index in range(25):
            damaged = bytearray(whole)
            for _ in range(chance.choice((1, 3, 20))):
                position = chance.randrange(len(damaged))
                damaged[position] ^= 1 << chance.randrange(8)
            put(f"flipped-{index}.{suffix}", bytes(damaged), either)
        put(f"empty.{suffix}", b"", bad)
        put(f"text.{suffix}", b"this is no picture\n" * 20, bad)
        other = "png" if suffix != "png" else "jpg"
        put(f"wrong-ending-{other}.{suffix}", encoded(picture, other), good)
    for suffix in ("png", "jpg", "webp"):
        whole = encoded(picture[:12, :16], suffix)
        for end in range(0, len(whole), 10):
            put(f"short-{end}.{suffix}", whole[:end], bad if end < len(whole) - 20 else either)  # then only an end mark
    for side in (40_000, 60_000, 2**31 - 1):
        put(f"bomb-{side}.png", bomb(side, side), bad)
    put("false-size.png", bomb(300, 300), bad)
    put("long.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0), bad)
    put("claims.ppm", b"P6 100000 100000 255\n" + bytes(100), bad)
    tifffile.imwrite(folder / "pages.tif", np.stack([picture, picture]), photometric="rgb")
    tifffile.imwrite(folder / "complex.tif", picture[:, :, 0].astype(np.complex64))
    bad |= {"complex.tif"}
    good |= {"pages.tif"}
    (folder / "folder.png").mkdir()
    put("-v.png", encoded(picture, "png"), good)
    put("$(touch ran).png", encoded(picture, "png"), good)
    if not WINDOWS:
        put("two\nlines.png", encoded(picture, "png"), good)
    if HAVE_PIPES:
        os.mkfifo(folder / "pipe.jpg")
        bad.add("pipe.jpg")
    if HAVE_LINKS:
        (folder / "nowhere.png").symlink_to("absent.png")
        (folder / "round.png").symlink_to("round.png")
        (folder / "device.png").symlink_to("/dev/zero")
        (folder / "up").symlink_to("..")
        (folder / "link.png").symlink_to("good.png")
        bad |= {"nowhere.png", "round.png"}
        good.add("link.png")
    if HAVE_BYTES:
        put(os.fsdecode(b"caf\xe9.png"), encoded(picture, "png"), bad)
    return good, bad, either


def test_everything_that_ever_broke_a_reader(
    tmp_path: Path, identity_onnx: Path, photograph: NDArray[np.uint8]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    good, bad, either = fill(folder, photograph)
    assert len(good | bad | either) >= 300
    done = subprocess.run(
        [PROGRAM, "--model", identity_onnx, "--report", "report.json", folder, out],
        cwd=tmp_path, capture_output=True, check=False, timeout=GUARD,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    rows = {
        str(Path(row["input"]).relative_to(folder)): row
        for row in json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["files"]
    }
    assert set(rows) == good | bad | either
    if HAVE_LINKS:
        assert b"passed over: links out of their folder (1)" in done.stdout, "the device"
    wrong = {name: rows[name]["error"] for name in good if rows[name]["status"] != "restored"}
    assert not wrong
    survived = {name for name in bad if rows[name]["status"] != "failed"}
    assert survived <= {f"cut-9.{suffix}" for suffix in ("tif", "avif")}, "their last tenth may hold no pixel"
    for name, row in rows.items():
        target = out / name
        assert (row["status"] == "restored") == target.exists(), name
        if row["status"] == "failed":
            assert row["error"], name
            assert "\n" not in row["error"], name
    assert not list(out.rglob("*.partial"))
    assert not (tmp_path / "ran").exists()
    for name in good:
        if name.endswith(("png", "bmp", "ppm")) and "jpg" not in name:
            assert np.array_equal(np.asarray(Image.open(out / name)), photograph), name
