"""nafnet-run --html: what the page shows. How it looks and works in a browser is tested with the bench's page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import NafnetError
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.gallery import write_gallery
from nafnet.runtime.folder.region import LARGEST_HEIGHT, LARGEST_WIDTH, most_changed
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Limits
from tests.begun import begun_run
from tests.nafnet.images.metadata.sources import PROFILE


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with Decoder(Limits()) as decoder:
        yield decoder


def pictures(page: Path) -> list[NDArray[np.uint8]]:
    """Every picture in a page, by Pillow."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', page.read_text(encoding="utf-8"))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


@pytest.mark.parametrize(("left", "top"), [(0, 0), (1900, 40), (700, 1000), (2300, 1350)])
def test_the_part_that_changed_most_is_shown(left: int, top: int, tmp_path: Path, decoder: Decoder) -> None:
    before = np.random.default_rng(0).integers(0, 200, (1400, 2400, 3), np.uint8)
    after = before + np.random.default_rng(1).integers(0, 3, before.shape, np.uint8)
    after[top : top + 48, left : left + 96] += 50
    for name, pixels in (("before.png", before), ("after.png", after)):
        Image.fromarray(pixels).save(tmp_path / name)
    x, y = most_changed(tmp_path / "before.png", tmp_path / "after.png", decoder)
    assert x <= left
    assert min(left + 96, 2400) <= x + LARGEST_WIDTH <= 2400
    assert y <= top
    assert min(top + 48, 1400) <= y + LARGEST_HEIGHT <= 1400


@pytest.mark.parametrize(("mode", "level"), [("L", 90), ("RGBA", (90, 90, 90, 40)), ("I;16", 90 * 257)])
def test_every_kind_of_picture_is_shown_in_8_bits(mode: str, level: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (50, 30), level).save(path)
    row = FileReport(input=str(path), output=str(path), status="restored", width=50, height=30)
    write_gallery(tmp_path / "page.html", [row], opening="", summary="", limits=Limits())
    before, after = pictures(tmp_path / "page.html")
    assert before.shape == after.shape == (30, 50, 3)
    assert abs(before.astype(int) - 90).max() <= 1


def test_pictures_are_shown_in_their_colours(tmp_path: Path) -> None:
    """With the profile of each; a grey picture is shown as one of colours, and so without its own."""
    for name, mode in (("colour.png", "RGB"), ("grey.png", "L")):
        Image.new(mode, (50, 30)).save(tmp_path / name, icc_profile=PROFILE)
    rows = [
        FileReport(input=str(tmp_path / name), output=str(tmp_path / name), status="restored", width=50, height=30)
        for name in ("colour.png", "grey.png")
    ]
    write_gallery(tmp_path / "page.html", rows, opening="", summary="", limits=Limits())
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = [base64.b64decode(data) for data in re.findall(r"data:image/webp;base64,([^\"]+)", text)]
    profiles = [Image.open(io.BytesIO(data)).info.get("icc_profile") for data in shown]
    assert profiles == [PROFILE, PROFILE, None, None]


def test_a_result_of_another_size_is_named_and_the_page_still_made(tmp_path: Path, decoder: Decoder) -> None:
    for name, size in (("in.png", (40, 30)), ("out.png", (41, 30))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(NafnetError, match="40x30 pixels, and its result has 41x30"):
        most_changed(tmp_path / "in.png", tmp_path / "out.png", decoder)
    row = FileReport(input=str(tmp_path / "in.png"), output=str(tmp_path / "out.png"), status="restored")
    write_gallery(tmp_path / "page.html", [row], opening="", summary="", limits=Limits())
    assert "its result has 41x30" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_writes_its_page(identity_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    words = ["in", "out", "--model", identity_onnx, "--html", "page.html"]
    done = begun_run(words, tmp_path)
    assert done.returncode == 1, done.stderr
    assert len(pictures(tmp_path / "page.html")) == 2
    assert "not a PNG" in (tmp_path / "page.html").read_text(encoding="utf-8")
    refused = begun_run([*words[:-1], "no/where.html"], tmp_path)
    assert refused.returncode == 2
    assert b"--html no/where.html: cannot be written" in refused.stderr


def test_what_is_shown_is_what_is_in_the_files(tmp_path: Path) -> None:
    """Noise and its colours are the point of the picture: a lossy codec would have denoised it already."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), np.uint8)
    for name, pixels in zip(("a.png", "b.png"), noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / name)
    row = FileReport(
        input=str(tmp_path / "a.png"), output=str(tmp_path / "b.png"), status="restored", width=90, height=60
    )
    write_gallery(tmp_path / "page.html", [row], opening="", summary="", limits=Limits())
    shown = {picture.tobytes() for picture in pictures(tmp_path / "page.html")}
    assert shown == {pixels.tobytes() for pixels in noise}


def test_a_page_that_is_stopped_is_written_without_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in the middle of the second picture: no other is opened, and then the signal goes its way."""
    rows = []
    for index in range(5):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (60, 40), (index, 0, 0)).save(path)
        rows.append(FileReport(input=str(path), output=str(path), status="restored", width=60, height=40))
    opened: list[str] = []
    decode = Decoder.decode

    def stopped(self: Decoder, path: Path) -> Iterator[object]:
        opened.append(path.name)
        if path.name == "1.png":
            raise KeyboardInterrupt
        return decode(self, path)

    monkeypatch.setattr(Decoder, "decode", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_gallery(tmp_path / "page.html", rows, opening="", summary="", limits=Limits())
    assert opened == ["0.png", "0.png", "1.png"]
    assert len(pictures(tmp_path / "page.html")) == 2
    assert "cut short, and 4 of its pictures are not shown" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_of_a_run_that_was_stopped_opens_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "_start", lambda _: pytest.fail("a decoder was started"))
    row = FileReport(input="a.png", output="b.png", status="restored", width=9, height=9)
    write_gallery(tmp_path / "page.html", [row], opening="", summary="", limits=None)
    assert "cut short, and 1 of its pictures are not shown" in (tmp_path / "page.html").read_text(encoding="utf-8")
