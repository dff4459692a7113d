"""Photographs through the page in a real Chromium: the pixels are those of `nafnet-run`, within a step."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyvips
import pytest
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


def run(model: Model, folder: Path, out: Path, *words: str) -> None:
    """Restore a folder with nafnet-run, as PNG."""
    path = out.with_suffix(".onnx")
    path.write_bytes(model.content)
    words = ("--model", str(path), "--backend", "onnxruntime", "--format", "png", *words)
    done = in_this_process(main, "nafnet-run", folder, out, *words)
    assert done.returncode == 0, done.stderr


def put(page: Page, *paths: Path) -> None:
    """Give files to the page, and wait until each is restored, or has failed."""
    expect = pytest.importorskip("playwright.sync_api").expect
    count = page.locator("#list li").count() + len(paths)
    page.set_input_files("#files", [str(path) for path in paths])
    expect(page.locator("#list li")).to_have_count(count, timeout=2e4)
    expect(page.locator("#list progress:not([hidden])")).to_have_count(0, timeout=2e4)
    assert page.locator("#list .failed").all_inner_texts() == []


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
