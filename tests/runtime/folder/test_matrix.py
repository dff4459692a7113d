"""Every format, depth, colour and metadata there is, through `nafnet-run` with a model that gives its input back.

The pictures are written, and the results read, by Pillow and tifffile; PNG of 16 bits by a writer of our own.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nafnet.runtime import Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.outputs import make_folders
from nafnet.runtime.paths.work import Request, find_work
from tests.runtime.folder import kinds_of_others as others
from tests.runtime.folder import kinds_of_tiff as tiff
from tests.runtime.folder.reading import read, read_upright


def grey_profile() -> bytes:
    """An ICC profile of grey with gamma 2.2, by its specification; Pillow makes none."""
    parts = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)),
    }
    table, body, start = b"", b"", 128 + 4 + 12 * len(parts)
    for name, part in parts.items():
        table += name + struct.pack(">II", start + len(body), len(part))
        body += part + bytes(-len(part) % 4)
    illuminant = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ", bytes(12), b"acsp"
    )
    head = head.ljust(68, b"\0") + illuminant
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


PROFILES = {3: ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), 1: grey_profile()}
BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
HEIGHT, WIDTH = 37, 53
Write = Callable[[Path], None]


def pixels(bands: int, dtype: Any, seed: int) -> NDArray[Any]:
    generator = np.random.default_rng(seed)
    if dtype == np.float32:
        return generator.random((HEIGHT, WIDTH, bands), np.float32).squeeze()
    return generator.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, bands), dtype, endpoint=True).squeeze()


def png16(path: Path, values: NDArray[np.uint16]) -> None:
    """Write a 16-bit PNG by the specification: no filter, one IDAT."""
    bands = 1 if values.ndim == 2 else values.shape[2]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def cases() -> Iterator[tuple[str, Write]]:
    """Names, which say what is in them, and what writes them."""
    lossless = {"png": {}, "tiff": {}, "webp": {"lossless": True, "exact": True}, "bmp": {}, "ppm": {}}
    modes = {
        "png": BANDS, "tiff": BANDS, "webp": ("RGB", "RGBA"), "bmp": ("L", "RGB", "RGBA"), "ppm": ("L", "RGB"),
    }  # fmt: skip
    for seed, (kind, options) in enumerate(lossless.items()):
        for mode in modes[kind]:
            image = Image.fromarray(pixels(BANDS[mode], np.uint8, seed), mode)
            for extra in ("plain", "icc", "exif"):
                if extra != "plain" and kind in ("bmp", "ppm"):
                    continue
                profile = PROFILES[1 if mode[0] == "L" else 3]
                more = {"plain": {}, "icc": {"icc_profile": profile}, "exif": {"exif": exif(6)}}[extra]
                yield f"{kind}-8-{mode}-{extra}.{kind}", lambda p, i=image, o={**options, **more}: i.save(p, **o)  # type: ignore[misc]
    for bands, photometric in ((1, "minisblack"), (3, "rgb"), (4, "rgb")):
        for dtype, compression, predictor in (
            (np.uint16, None, None), (np.uint16, "zlib", 2), (np.uint8, "zlib", 2), (np.float32, None, None),
            (np.float32, "zlib", None),
        ):  # fmt: skip
            extra = {"extrasamples": ["unassalpha"]} if bands == 4 else {}
            options = {"photometric": photometric, "compression": compression, "predictor": predictor, **extra}
            values = pixels(bands, dtype, bands)
            name = f"tifffile-{np.dtype(dtype).name}-{bands}-{compression}-{predictor}.tif"
            yield name, lambda p, v=values, o=options: tifffile.imwrite(p, v, **o)  # type: ignore[misc]
    for bands in (1, 2, 3, 4):
        values = pixels(bands, np.uint16, bands)
        yield f"png-16-{bands}.png", lambda p, v=values: png16(p, v)  # type: ignore[misc]
    for mode, quality in itertools.product(("L", "RGB"), (75, 95)):
        image = Image.fromarray(smooth(BANDS[mode]), mode)
        for extra in ({}, {"icc_profile": PROFILES[BANDS[mode]]}, {"progressive": True}, {"exif": exif(3)}):
            name = f"jpeg-{mode}-{quality}-{'-'.join(extra) or 'plain'}.jpg"
            yield name, lambda p, i=image, o={**extra, "quality": quality}: i.save(p, **o)  # type: ignore[misc]
    for mode in ("RGB", "RGBA"):
        image = Image.fromarray(smooth(BANDS[mode]), mode)
        yield f"webp-lossy-{mode}.webp", lambda p, i=image: i.save(p, quality=90)  # type: ignore[misc]
        yield f"avif-{mode}.avif", lambda p, i=image: i.save(p, quality=95, subsampling="4:4:4")  # type: ignore[misc]
    for mode, dtype in itertools.product(("L", "RGB", "RGBA"), (np.uint8, np.uint16, np.float32)):
        data = imagecodecs.jpegxl_encode(pixels(BANDS[mode], dtype, 7), lossless=True)
        yield f"jxl-{mode}-{np.dtype(dtype).name}.jxl", lambda p, d=data: p.write_bytes(d)  # type: ignore[misc]
    yield "jxl-lossy.jxl", lambda p: p.write_bytes(imagecodecs.jpegxl_encode(smooth(3), distance=1.0))
    paletted = Image.fromarray(smooth(3)).quantize(16)
    yield "palette.png", lambda p: paletted.save(p)
    yield "palette.bmp", lambda p: paletted.save(p)
    yield "one-bit.png", lambda p: Image.fromarray(pixels(1, np.uint8, 1)).convert("1").save(p)
    yield "one-bit.tif", lambda p: Image.fromarray(pixels(1, np.uint8, 1)).convert("1").save(p)


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112], found[0x013B] = orientation, "Somebody"
    return found


def smooth(bands: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [(np.sin(x / (9 + band)) * np.cos(y / 7) * 100 + 128) for band in range(bands)]
    return np.stack(planes, 2).astype(np.uint8).squeeze()


CASES = list(cases())
KINDS = {
    kind.name: kind
    for made in (tiff.tiff, tiff.tiff_colours, tiff.refused, others.netpbm, others.png, others.jpeg, others.others)
    for kind in made()
}


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """The folder of all cases, that of their results, and the rows by name."""
    from onnx import TensorProto, helper, save

    folder = tmp_path_factory.mktemp("matrix")
    border = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("b", 3, "h", "w")) for n in ("image", "restored")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["restored"])], "same", border[:1], border[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "same.onnx")
    (folder / "in").mkdir()
    for name, write in CASES:
        write(folder / "in" / name)
    for kind in KINDS.values():
        kind.write(folder / "in" / kind.name)
    work = find_work(Request(inputs=[folder / "in"], output=folder / "out"))
    make_folders(work.folders)
    with Restorer.load(folder / "same.onnx", tile=32, overlap=8) as restorer:
        rows = Pipeline(restorer, work.jobs, outputs=work.outputs).run()
    return folder / "in", folder / "out", {Path(row.input).name: row for row in rows}


@pytest.mark.parametrize("name", [name for name, _ in CASES])
def test_comes_back(name: str, restored: tuple[Path, Path, dict[str, Any]]) -> None:
    source, target, rows = restored
    assert rows[name].status == "restored", rows[name].error
    assert rows[name].notes == (["1 bit became 8"] if name.startswith("one-bit") else [])
    before, after = read(source / name), read(target / name)
    assert after.shape == before.shape
    assert after.dtype == before.dtype
    if name.startswith(("jpeg", "webp-lossy", "avif", "jxl-lossy")):
        assert np.abs(after.astype(int) - before.astype(int)).mean() < 1.5, "encoded once more"
    else:
        assert np.array_equal(after, before)
    if name.endswith((".png", ".jpg", ".webp", ".tiff")) and ("icc" in name or "exif" in name):
        with Image.open(target / name) as image:
            if "icc" in name:
                assert image.info["icc_profile"] == PROFILES[1 if image.mode[0] == "L" else 3]
            elif not name.startswith("tiff"):  # libvips writes no EXIF into TIFF
                assert image.getexif()[0x013B] == "Somebody"
                assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("name", KINDS)
def test_comes_out_right_or_is_refused_by_name(name: str, restored: tuple[Path, Path, dict[str, Any]]) -> None:
    _, target, rows = restored
    kind, row = KINDS[name], rows[name]
    if kind.refused:
        assert row.status == "failed"
        assert kind.refused in (row.error or "")
        assert "damaged" not in (row.error or "")
        return
    assert row.status == "restored", row.error
    assert tuple(row.notes) == kind.notes
    if kind.expected is None:
        return
    made = read_upright(target / (kind.result or name))
    assert made.shape == kind.expected.shape
    assert made.dtype == kind.expected.dtype
    assert np.abs(made.astype(float) - kind.expected).mean() <= kind.most


def test_there_are_enough_cases() -> None:
    assert len(CASES) + len(KINDS) >= 150
    assert len({name for name, _ in CASES} | set(KINDS)) == len(CASES) + len(KINDS)
