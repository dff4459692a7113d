"""Photographs through the page in a real Chromium: the pixels are those of `nafnet-run`, within a step."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
from PIL import Image

from nafnet.export.web.folder import Model
from nafnet.runtime.cli import main
from tests.browser import needs_chromium
from tests.export.web.conftest import Open
from tests.export.web.pictures import ARTIST, ORIENTATION, SRGB, noise, png, write_all
from tests.processes import GUARD, in_this_process

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium
# Presses a button, from inside the page, when a first tile is done.
CANCEL = """(name) => {
  const watch = new MutationObserver(() => {
    if (!/ tiles/.test(document.getElementById("list").textContent)) return;
    watch.disconnect();
    document.querySelector(`[aria-label="${name}"]`).click();
  });
  watch.observe(document.getElementById("list"), { subtree: true, childList: true, characterData: true });
}"""


def run(model: Model, folder: Path, out: Path, *words: str) -> None:
    """Restore a folder with nafnet-run, as PNG."""
    path = out.with_suffix(".onnx")
    path.write_bytes(model.content)
    words = ("--model", str(path), "--backend", "onnxruntime", "--format", "png", *words)
    done = in_this_process(main, "nafnet-run", folder, out, *words)
    assert done.returncode == 0, done.stderr


def put(page: Page, *paths: Path, failing: int = 0) -> None:
    """Give files to the page, and wait until each is restored, or has failed, as so many are to."""
    expect = pytest.importorskip("playwright.sync_api").expect
    count = page.locator("#list li").count() + len(paths)
    page.set_input_files("#files", [str(path) for path in paths])
    expect(page.locator("#list li")).to_have_count(count, timeout=1e3 * GUARD)
    expect(page.locator("#list progress:not([hidden])")).to_have_count(0, timeout=1e3 * GUARD)
    failed = page.locator("#list .failed").all_inner_texts()
    assert len(failed) == failing, failed


def downloaded(page: Page, name: str) -> tuple[str, bytes]:
    """The name and the content of the file that is made of a result."""
    with page.expect_download() as event:
        page.get_by_role("button", name=f"Download {name}", exact=True).click()
    return event.value.suggested_filename, Path(event.value.path()).read_bytes()


def values(data: bytes) -> np.ndarray:
    """Of a file, in its own depth."""
    return pyvips.Image.new_from_buffer(data, "").numpy()


def test_pixels_are_those_of_nafnet_run(opened: Open, models: list[Model], tmp_path: Path) -> None:
    paths = write_all(tmp_path / "in")
    run(models[0], tmp_path / "in", tmp_path / "out")
    page = opened()
    assert page.evaluate("crossOriginIsolated")
    put(page, *paths)
    for path in paths:
        name, data = downloaded(page, path.name)
        assert name == f"{path.stem}-restored.png"
        made, wanted = values(data), values((tmp_path / "out" / f"{path.stem}.png").read_bytes())
        assert made.shape == wanted.shape, path.name
        assert made.dtype == wanted.dtype, path.name
        step = 1 if made.dtype == np.uint8 else 4  # float32 has less than 16 bits once it went through a network
        assert np.abs(made.astype(int) - wanted).max() <= step, path.name
    assert "9 of 9 restored" in page.inner_text("#summary")


def test_profiles_and_exif_are_kept(opened: Open, tmp_path: Path) -> None:
    paths = write_all(tmp_path / "in")
    page = opened()
    put(page, *(path for path in paths if path.name in ("rgb.png", "turned.jpg", "lossless.webp")))
    for form in ("png", "jpeg"):
        page.select_option("#format", form)
        for name in ("rgb.png", "turned.jpg", "lossless.webp"):
            given, data = downloaded(page, name)
            with Image.open(io.BytesIO(data)) as image:
                assert image.format == form.upper()
                assert given.endswith(".jpg" if form == "jpeg" else ".png")
                assert image.info["icc_profile"] == SRGB, name
                exif = image.getexif()
                if name != "rgb.png":
                    assert (exif[ORIENTATION], exif[ARTIST]) == (1, "Somebody")
                assert image.size == ((90, 61) if name == "turned.jpg" else image.size)


def test_strength_and_jpeg(opened: Open, models: list[Model], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    paths = [
        png(tmp_path / "in" / "rgb.png", noise(70, 90, 3)),
        png(tmp_path / "in" / "deep.png", noise(20, 30, 3, np.uint16)),
    ]
    run(models[0], tmp_path / "in", tmp_path / "out", "--strength", "0.6")
    page = opened()
    put(page, *paths)
    page.locator("#strength").fill("60")
    for path in paths:
        made, wanted = values(downloaded(page, path.name)[1]), values((tmp_path / "out" / path.name).read_bytes())
        assert np.abs(made.astype(int) - wanted).max() <= (1 if made.dtype == np.uint8 else 4)
    lossless = values(downloaded(page, "rgb.png")[1]).astype(int)
    page.select_option("#format", "jpeg")
    page.locator("#quality").fill("100")
    best = values(downloaded(page, "rgb.png")[1]).astype(int)
    assert 0 < np.abs(best - lossless).mean() < 1.5
    page.locator("#quality").fill("50")
    assert np.abs(values(downloaded(page, "rgb.png")[1]).astype(int) - lossless).mean() > np.abs(best - lossless).mean()


def test_a_zip_holds_every_result(opened: Open, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    paths = [png(tmp_path / "a" / "same.png", noise(20, 30, 3)), png(tmp_path / "b" / "same.png", noise(30, 20, 3))]
    page = opened()
    put(page, *paths)
    with page.expect_download() as event:
        page.click("#all")
    with zipfile.ZipFile(event.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["same-restored.png", "same-restored (2).png"]
        for name, size in zip(archive.namelist(), ((30, 20), (20, 30)), strict=True):
            with Image.open(archive.open(name)) as image:
                assert image.size == size


def test_what_cannot_be_read_is_said_and_the_rest_go_on(opened: Open, tmp_path: Path) -> None:
    whole = png(tmp_path / "whole.png", noise(40, 40, 3))
    data = whole.read_bytes()
    (tmp_path / "cut.png").write_bytes(data[:-1500])
    (tmp_path / "changed.png").write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    (tmp_path / "words.jpg").write_bytes(b"these are no pixels")
    Image.new("RGB", (9, 9)).save(tmp_path / "old.gif")
    said = {
        "cut.png": "the file is cut short",
        "changed.png": "the PNG is damaged",
        "words.jpg": "this browser cannot read it",
        "old.gif": "GIF is for nafnet-run",
    }
    page = opened()
    put(page, *(tmp_path / name for name in said), whole, failing=len(said))
    found = dict(zip(said, page.locator("#list .failed").all_inner_texts(), strict=True))
    assert [name for name, words in said.items() if words not in found[name]] == []
    assert "1 of 5 restored" in page.inner_text("#summary")


def test_what_is_under_way_can_be_cancelled(opened: Open, tmp_path: Path) -> None:
    large = png(tmp_path / "large.png", noise(1000, 500, 3), filters=False)
    small = png(tmp_path / "small.png", noise(20, 20, 3))
    page = opened()
    page.evaluate(CANCEL, "Cancel large.png")
    page.set_input_files("#files", [large, small])
    page.get_by_role("button", name="Download small.png").wait_for()
    assert "cancelled" in page.locator("#list li").first.inner_text()
    page.get_by_role("button", name="Remove large.png").click()
    assert page.locator("#list li").count() == 1
    assert page.evaluate("document.activeElement.textContent") == "small.png", "the focus is not lost"


def test_keys_alone_do(opened: Open, tmp_path: Path) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([png(tmp_path / f"{name}.png", noise(20, 20, 3)) for name in "ab"])
    page.get_by_role("button", name="Download b.png").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "split"
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.getElementById('shown-after')).clipPath") == "inset(0px 0px 0px 0%)"
    page.keyboard.press("z")
    assert page.get_attribute("#zoom", "aria-pressed") == "true"
    width = page.evaluate("document.getElementById('after').getBoundingClientRect().width")
    assert width == 20, "a pixel of the picture for one of the screen"
    page.get_by_role("button", name="b.png", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator("#caption").inner_text().startswith("b.png: 20 \N{MULTIPLICATION SIGN} 20")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_phone(opened: Open, tmp_path: Path, theme: str) -> None:
    page = opened(width=390)
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    name = "a long name without a blank " + "x" * 60 + ".png"
    put(page, png(tmp_path / name, noise(40, 90, 3)))
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    buttons = page.locator("button:visible:not(.name)").all()
    heights = [box["height"] for each in buttons if (box := each.bounding_box())]
    assert min(heights) >= 40, "a finger finds them"
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(21, 23, 26)") == (theme == "dark")
