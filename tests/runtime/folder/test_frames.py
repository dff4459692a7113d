"""Pages and frames: each is restored, none sees its neighbour, and their times stay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images.file import read_header, read_image
from nafnet.images.reader import open_image
from nafnet.images.timing import Timing
from nafnet.runtime import Encoding, Restorer, restore_file
from tests.nafnet.images.colour.profiles import PROPHOTO, gamma_curve, matrix_profile
from tests.runtime.conftest import nafnet_run

DELAYS = (50, 120, 300)
SUFFIXES = {"png": "png", "webp": "webp", "avif": "avif", "tiff": "tif"}


@pytest.fixture
def frames(photograph: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Three that differ much, of 40 x 60."""
    return [photograph[:40, :60], 255 - photograph[40:80, :60], photograph[80:120, 60:120]]


def saved(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, np.stack(frames), photometric="rgb")
        return path
    first, *others = [Image.fromarray(frame) for frame in frames]
    if path.suffix == ".gif":
        first, *others = [image.quantize() for image in (first, *others)]
    lossless = {"lossless": True} if path.suffix == ".webp" else {"quality": 95} if path.suffix == ".avif" else {}
    loop = {} if path.suffix == ".avif" else {"loop": 2}
    first.save(path, save_all=True, append_images=others, duration=list(DELAYS), **loop, **lossless)
    return path


def shown(path: Path) -> list[NDArray[np.uint8]]:
    """As Pillow or tifffile show them."""
    if path.suffix == ".tif":
        return list(tifffile.imread(path))
    with Image.open(path) as image:
        made = []
        for index in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(index)
            made.append(np.asarray(image.convert("RGB")))
        return made


@pytest.mark.parametrize("suffix", ["tif", "png", "webp", "avif"])
def test_each_frame_is_restored_as_it_would_be_alone(
    suffix: str, frames: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    source = saved(tmp_path / f"in.{suffix}", frames)
    given = shown(source)
    with Restorer.load(threads=1, tile=32) as restorer:
        alone = [restorer.restore(frame) for frame in given]
        row = restore_file(restorer, source, tmp_path / f"out.{suffix}")
        pixels = read_image(tmp_path / f"out.{suffix}").pixels
        assert (row.width, row.height, row.frames, row.notes) == (60, 40, 3, [])
        assert pixels.shape == (120, 60, 3)
        together = shown(tmp_path / f"out.{suffix}")
        loss = 0 if suffix != "avif" else 40
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one.astype(int) - other).max() <= loss
        assert read_header(tmp_path / f"out.{suffix}").timing == read_header(source).timing
        assert row.tiles == 3 * restorer.plan(40, 60).count


@pytest.mark.parametrize(("suffix", "loops"), [("png", 2), ("webp", 2), ("gif", 3), ("avif", 0)])
def test_times_and_loops_stay(
    suffix: str, loops: int, frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path
) -> None:
    """A GIF's loops come after the first; it becomes a WebP."""
    source = saved(tmp_path / f"in.{suffix}", frames)
    target = tmp_path / ("out.webp" if suffix == "gif" else f"out.{suffix}")
    assert read_header(source).timing == Timing(3, DELAYS, loops)
    with Restorer.load(identity_onnx) as restorer:
        row = restore_file(restorer, source, target)
    became = ["GIF is read alone, and became WEBP: --format chooses another"]
    # Here the target's name chose it.
    assert row.notes == []
    assert suffix != "gif" or list(read_header(source).converted(None, None).notes) == became
    with Image.open(target) as image:
        times = []
        for index in range(3):
            image.seek(index)
            image.load()
            times.append(image.info["duration"])
        assert times == list(DELAYS)
        assert image.info.get("loop", 0) == loops
    if suffix != "avif":
        assert all(np.array_equal(one, other) for one, other in zip(shown(source), shown(target), strict=True))


def test_metadata_of_pages_stays(frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path) -> None:
    """TIFF's first directory is written anew; the pages behind it stay."""
    images = [Image.fromarray(frame) for frame in frames]
    exif = Image.Exif()
    exif[0x010F] = "maker"
    images[0].save(tmp_path / "in.tif", save_all=True, append_images=images[1:], exif=exif, dpi=(300, 300))
    with Restorer.load(identity_onnx) as restorer:
        restore_file(restorer, tmp_path / "in.tif", tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as image:
        assert image.getexif()[0x010F] == "maker"
    assert all(np.array_equal(one, other) for one, other in zip(frames, shown(tmp_path / "out.tif"), strict=True))


def test_an_animation_of_one_frame_is_a_picture(
    frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path
) -> None:
    for suffix in ("png", "webp", "gif"):
        source = saved(tmp_path / f"in.{suffix}", frames[:1])
        assert read_header(source).timing.frames == 1
        with Restorer.load(identity_onnx) as restorer:
            restore_file(restorer, source, tmp_path / f"{suffix}.jpg")
        assert read_header(tmp_path / f"{suffix}.jpg").width == 60


@pytest.mark.parametrize(
    ("suffix", "wanted", "message"),
    [
        ("png", "jpeg", "jpeg cannot hold its 3 frames; choose another --format"),
        ("tif", "png", "png cannot hold its 3 pages; choose another --format"),
        ("tif", "webp", "webp cannot hold its 3 pages"),
        ("webp", "jxl", "jxl cannot hold its 3 frames"),
    ],
)
def test_what_cannot_hold_them_is_refused(
    suffix: str, wanted: str, message: str, frames: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    header = read_header(saved(tmp_path / f"in.{suffix}", frames))
    with pytest.raises(ImageError, match=message):
        header.converted(wanted, None)  # type: ignore[arg-type]


def test_an_animation_becomes_pages_with_a_note(
    frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path
) -> None:
    source = saved(tmp_path / "in.png", frames)
    with Restorer.load(identity_onnx) as restorer:
        row = restore_file(restorer, source, tmp_path / "out.tif", Encoding(bits=16))
    assert row.notes == ["an animation became 3 pages, without their times"]
    assert [page.shape for page in shown(tmp_path / "out.tif")] == [(40, 60, 3)] * 3


def test_pages_of_several_sizes_are_refused_by_name(frames: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        file.write(frames[0], photometric="rgb")
        file.write(frames[1][:20], photometric="rgb")
    with pytest.raises(ImageError, match="holds 2 pages not alike in size, kind of pixels or turn; split it first"):
        read_header(tmp_path / "in.tif")


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "avif", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_cut_file_is_damaged(suffix: str, share: float, frames: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    path = saved(tmp_path / f"in.{suffix}", frames)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    if (suffix, share) == ("gif", 0.7):  # of which a decoder reads the frames that are there
        reader = open_image(path)
        assert len(list(reader.rows(1000)))
        assert reader.damage == "it ends before its end mark, and frames may be missing"
        return
    with pytest.raises(ImageError, match=rf"in\.{suffix}: "):
        read_image(path)


def test_an_animation_of_16_bits_is_refused(tmp_path: Path) -> None:
    """Pillow would halve its depth in silence."""
    frames = [Image.fromarray(np.full((8, 8), value, np.uint16)) for value in (1, 60_000)]
    frames[0].save(tmp_path / "in.png", save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(ImageError, match="an animation of more than 8 bits; only 8 are read, so split it first"):
        read_header(tmp_path / "in.png")


def test_the_command_does_it(frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.gif", "b.png", "c.tif"):
        saved(tmp_path / "photos" / name, frames)
    words = ("--model", identity_onnx, "--report", "report.json", "--compare", "pairs", "--html", "page.html")
    done = nafnet_run(tmp_path, *words, "photos", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a.webp").exists()
    report = json.loads((tmp_path / "report.json").read_text())
    assert [file["frames"] for file in report["files"]] == [3, 3, 3]
    assert report["totals"]["megapixels"] == pytest.approx(3 * 3 * 40 * 60 / 1e6, abs=1e-4)
    with Image.open(tmp_path / "pairs" / "c-tif-compared.jpg") as image:
        assert image.size == (120, 120), "side by side, and one below the other"
    dry = nafnet_run(tmp_path, "--model", identity_onnx, "--dry-run", "photos", "out-2")
    assert b"60x40, 3 frames, tiff" in dry.stdout


def tagged(path: Path, *pages: tuple[NDArray[np.uint8], dict[str, object]]) -> Path:
    with tifffile.TiffWriter(path) as file:
        for pixels, options in pages:
            file.write(pixels, metadata=None, **{"photometric": "rgb", **options})
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iccprofile": matrix_profile(PROPHOTO, gamma_curve(1.8))}, "several kinds of colours"),
        ({"photometric": "minisblack"}, "not alike"),
        ({"subfiletype": 1}, "a smaller copy of another"),
    ],
)
def test_pages_that_are_not_alike_are_refused(
    options: dict[str, object], message: str, frames: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    """Of several profiles libvips gives the last page's for all."""
    other = frames[1][:, :, 0] if "photometric" in options else frames[1]
    for name, pages in (("a", ((frames[0], {}), (other, options))), ("b", ((other, options), (frames[0], {})))):
        if name == "b" and "subfiletype" in options:
            continue
        with pytest.raises(ImageError, match=message):
            read_header(tagged(tmp_path / f"{name}.tif", *pages))


def test_pages_of_other_alpha_are_refused(frames: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    frame = np.dstack([frames[0], frames[0][:, :, :1]])
    kinds = [{"extrasamples": [kind]} for kind in ("unassalpha", "assocalpha")]
    with pytest.raises(ImageError, match="several kinds of colours"):
        read_header(tagged(tmp_path / "a.tif", (frame, kinds[0]), (frame, kinds[1])))


def test_what_the_first_page_says_stands_and_the_rest_is_noted(
    frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path
) -> None:
    icc = matrix_profile(PROPHOTO, gamma_curve(1.8))
    pages = [(frame, {"iccprofile": icc, "description": f"page {index}"}) for index, frame in enumerate(frames)]
    with Restorer.load(identity_onnx) as restorer:
        row = restore_file(restorer, tagged(tmp_path / "in.tif", *pages), tmp_path / "out.tif")
    assert row.notes == ["what further pages say of themselves not kept: the first page's stands"]
    assert row.colours == "gamma 1.80, primaries of its own"
    with tifffile.TiffFile(tmp_path / "out.tif") as made:
        assert made.pages[0].tags[34675].value == icc  # type: ignore[union-attr]
    assert all(np.array_equal(one, other) for one, other in zip(frames, shown(tmp_path / "out.tif"), strict=True))


@pytest.mark.parametrize(("content", "name", "written"), [("avif", "a.heic", "jpeg"), ("gif", "a.png", "png")])
def test_a_name_that_lies_makes_no_other_that_does(
    content: str, name: str, written: str, frames: list[NDArray[np.uint8]], identity_onnx: Path, tmp_path: Path
) -> None:
    """What ends in .heic becomes a .jpg, whatever it holds: then that is a JPEG."""
    (tmp_path / "photos").mkdir()
    saved(tmp_path / f"a.{content}", frames[:1]).rename(tmp_path / "photos" / name)
    done = nafnet_run(tmp_path, "--model", identity_onnx, "photos", "out")
    assert done.returncode == 0, done.stderr
    (made,) = [path for path in (tmp_path / "out").iterdir() if path.is_file()]
    assert read_header(made).format == written
    assert f"became {written.upper()}".encode() in done.stdout
