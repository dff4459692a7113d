"""The pages in a real Chromium, from the disk, with the network off: figures, sliders, keys, and a narrow screen."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nafnet.benchmarks.photographs import as_8bit
from nafnet.benchmarks.pictures import load_pictures
from nafnet.benchmarks.report.page import SHOWN
from nafnet.page import heat, picture_uri, render
from nafnet.runtime.folder.gallery import write_gallery
from nafnet.runtime.folder.region import LARGEST_HEIGHT, LARGEST_WIDTH
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Limits
from nafnet.train.run.evaluation_sets import middle
from tests.benchmarks.conftest import shown_times
from tests.processes import GUARD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
DESKTOP, PHONE = (1280, 900), (375, 740)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        # Chromium's sandbox wants rights that a container's root lacks; it opens nothing here but our own files.
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1e3 * GUARD)
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, size: tuple[int, int]) -> Page:
    """The page, with the network off; whatever it asks for beyond itself, or complains of, fails the test."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, offline=True)
    context.set_default_timeout(1e3 * GUARD)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.on("console", lambda message: pytest.fail(message.text))

    def only_itself(request: Any) -> None:
        if not request.url.startswith(("data:", path.as_uri())):
            pytest.fail(f"the page asks for {request.url}")

    page.on("request", only_itself)
    page.goto(path.as_uri())
    return page


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of nafnet-run: a small picture, one too large to show whole, and one that failed."""
    folder = tmp_path_factory.mktemp("gallery")
    rows = []
    for name, size in (("a <b> & 'c'.png", (60, 40)), ("large.png", (1500, 800))):
        before, after = (folder / side / name for side in ("in", "out"))
        for path, level in ((before, 60), (after, 200)):
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", size, (level, level, level)).save(path)
        rows.append(FileReport(input=str(before), output=str(after), status="restored", width=size[0], height=size[1]))
    rows.append(FileReport(input="cut.jpg", output="", status="failed", error="cut.jpg: <damaged> JPEG"))
    write_gallery(folder / "page.html", rows, opening="3 files", summary="2 restored", limits=Limits())
    return folder / "page.html"


@needs_chromium
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_pages_fit_the_screen_and_ask_for_nothing(
    browser: Browser, benched: Path, gallery: Path, size: tuple[int, int]
) -> None:
    for path in (benched / "result.html", gallery):
        page = opened(browser, path, size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        loaded = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert loaded
        assert all(loaded)
        page.context.close()


@needs_chromium
def test_the_pages_figures_are_the_jsons(browser: Browser, benched: Path) -> None:
    result = json.loads((benched / "result.json").read_text(encoding="utf-8"))
    page = opened(browser, benched / "result.html", DESKTOP)
    assert json.loads(page.locator("#result").text_content() or "") == result
    (model,) = result["models"]
    tables = page.locator("table").all()
    captions = [table.locator("caption").inner_text() for table in tables]
    for case, plot in zip(model["cases"], page.locator("[data-plot=time]").all(), strict=True):
        title = f"{case['batch']} x {case['tile']} x {case['tile']}:"
        (table,) = [table for table, caption in zip(tables, captions, strict=True) if caption.startswith(title)]
        shown = {
            line.locator("th").inner_text(): line.locator("td").all_inner_texts()
            for line in table.locator("tbody tr").all()
        }
        rows = {row["name"]: row for row in case["rows"]}
        assert shown.keys() == rows.keys()
        for name, row in rows.items():
            assert shown[name][:5] == shown_times(row)
        bars = {line.locator(".label").inner_text(): line for line in plot.locator("li").all()}
        assert bars.keys() == rows.keys()
        for name, row in rows.items():
            assert bars[name].locator(".value").inner_text().startswith(f"{1e3 * row['speed']['minimum']:.1f} ms")
        # The bars' lengths are in the ratio of the minima.
        widths = {name: bar.locator(".bar").bounding_box()["width"] for name, bar in bars.items()}  # type: ignore[index]
        slowest = max(rows.values(), key=lambda row: row["speed"]["minimum"])
        for name, row in rows.items():
            expected = widths[slowest["name"]] * row["speed"]["minimum"] / slowest["speed"]["minimum"]
            assert widths[name] == pytest.approx(expected, abs=1.0)


@needs_chromium
def test_bars_of_the_profile_are_as_long_as_their_operators_take(browser: Browser, benched: Path) -> None:
    (model,) = json.loads((benched / "result.json").read_text(encoding="utf-8"))["models"]
    seconds = {profile["name"]: sum(each["seconds"] for each in profile["operators"]) for profile in model["profiles"]}
    assert len(seconds) == 8
    page = opened(browser, benched / "result.html", DESKTOP)
    tracks = page.locator("[data-plot=profile] .track").all()
    parts = [sum(part.bounding_box()["width"] for part in track.locator(".part").all()) for track in tracks]  # type: ignore[index]
    names = page.locator("[data-plot=profile] .label").all_inner_texts()
    assert sorted(names) == sorted(seconds)
    longest, slowest = max(parts), max(seconds.values())
    for name, length in zip(names, parts, strict=True):
        assert length == pytest.approx(longest * seconds[name] / slowest, abs=1.5)
    shown = page.locator(".profile[open] [data-plot=levels] .label").all_inner_texts()
    assert shown[:3] == ["encoder 1", "middle", "decoder 1"]
    page.locator(".profile summary").nth(1).click()
    assert page.locator(".profile[open]").count() == 2
    page.context.close()


@needs_chromium
def test_points_of_the_plot_are_ordered_by_speed(browser: Browser, benched: Path) -> None:
    page = opened(browser, benched / "result.html", DESKTOP)
    across = [float(circle.get_attribute("cx") or "") for circle in page.locator("svg circle").all()]
    assert across == sorted(across, reverse=True)
    assert len(across) == page.locator(".scatter li").count()


def before_share(page: Page) -> float:
    """How much of the picture before is shown, by what is drawn: the part that its clip leaves."""
    clip = page.locator(".compare .before").first.evaluate("image => getComputedStyle(image).clipPath")
    (hidden,) = re.findall(r"inset\(0px ([\d.]+)(?:%|px)|calc\(100% - ([\d.]+)%\)", clip)
    return 100 - float(hidden[0]) if hidden[0] else float(hidden[1])


@needs_chromium
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_slider_works_by_key_and_by_mouse(browser: Browser, gallery: Path, size: tuple[int, int]) -> None:
    page = opened(browser, gallery, size)
    assert before_share(page) == pytest.approx(50)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range"
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert before_share(page) == pytest.approx(60)
    page.keyboard.press("Home")
    assert before_share(page) == pytest.approx(0)
    box = page.locator(".compare").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert before_share(page) == pytest.approx(80, abs=4)
    # What is drawn: dark before, bright after.
    pixels = page.locator(".compare").first.screenshot(path=str(gallery.with_name("shot.png")))
    assert pixels
    shot = np.asarray(Image.open(gallery.with_name("shot.png")).convert("L"))
    row = shot[shot.shape[0] // 4].tolist()
    assert row[int(0.3 * len(row))] == pytest.approx(60, abs=3)
    assert row[int(0.95 * len(row))] == pytest.approx(200, abs=3)


@needs_chromium
def test_names_are_shown_as_they_are(browser: Browser, gallery: Path) -> None:
    page = opened(browser, gallery, DESKTOP)
    text = page.locator("body").inner_text()
    assert "a <b> & 'c'.png" in text
    assert "cut.jpg: <damaged> JPEG" in text
    assert f"1500 x 800, of it {LARGEST_WIDTH} x {LARGEST_HEIGHT}" in text.replace("\N{MULTIPLICATION SIGN}", "x")


def test_what_is_put_into_a_page_is_escaped() -> None:
    html = render(
        "nafnet.runtime.folder",
        "gallery.html",
        shown=[],
        left_out=0,
        opening="<i>",
        summary="<b>",
        failed=[],
        cut_short=False,
    )
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_a_picture_in_a_page_is_the_picture_to_the_bit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for pixels in (noise, noise[:, :, 0], heat(noise[:, :, 0] / 255, 1.0)):
        encoded = picture_uri(pixels).removeprefix("data:image/webp;base64,")
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
        assert np.array_equal(decoded, pixels if pixels.ndim == 3 else np.dstack([pixels] * 3))


def test_a_page_of_the_samples_is_small_enough_to_open() -> None:
    size = 0
    for picture in load_pictures(None, None, "denoise", 3, SHOWN).pictures:
        assert picture.clean is not None
        for planes in (picture.degraded, picture.clean):
            size += len(picture_uri(as_8bit(middle(planes.transpose(1, 2, 0), SHOWN))))
    # What is restored takes no more than what is given, and its heat map hardly more.
    assert 2 * size < 6e6


def luminance(colour: str) -> float:
    """Of "rgb(r, g, b)", relative, by WCAG 2."""
    channels = np.array([int(each) for each in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_and_whiskers_can_be_read_in_both_themes(browser: Browser, benched: Path, theme: Any) -> None:
    page = opened(browser, benched / "result.html", DESKTOP)
    page.emulate_media(color_scheme=theme)

    def seen(selector: str, key: str) -> float:
        return luminance(page.locator(selector).first.evaluate(f"each => getComputedStyle(each).{key}"))

    def contrast(one: float, other: float) -> float:
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)

    numeral, paper = seen(".point text", "fill"), seen("body", "backgroundColor")
    for family in ("torch", "onnxruntime", "openvino", "tensorrt", "other"):
        page.locator(".point").first.evaluate(f"each => each.setAttribute('class', 'point {family}')")
        colour = seen(".point circle", "fill")
        assert contrast(numeral, colour) > 4.5, family
        assert contrast(paper, colour) > 3, family
    assert contrast(seen(".whisker", "backgroundColor"), paper) > 3
    page.context.close()


def test_heat_goes_from_dark_to_light() -> None:
    ramp = heat(np.linspace(0, 2, 50)[None], 2.0)
    assert ramp.shape == (1, 50, 3)
    light = ramp.astype(float) @ (0.299, 0.587, 0.114)
    assert (np.diff(light[0]) > 0).all()
    assert (heat(np.zeros((2, 2)), 0.0) == ramp[0, 0]).all()
