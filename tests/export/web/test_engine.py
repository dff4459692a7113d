"""What runs the model in the browser is compared with PyTorch first, and what is not right is not used."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from nafnet.export.web import server
from nafnet.export.web.folder import CARD, Model
from nafnet.export.web.server import address, served
from tests.browser import needs_chromium
from tests.export.web.conftest import Open
from tests.export.web.pictures import noise, png
from tests.export.web.test_page import downloaded, put, run, values

pytestmark = needs_chromium


def test_webgpu_gives_the_same_pixels(opened: Open, models: list[Model], tmp_path: Path) -> None:
    """By Chromium's software adapter, which the page would not take by itself.

    The picture is of the known one's size: for another, the adapter would compile its programs again.
    """
    (tmp_path / "in").mkdir()
    path = png(tmp_path / "in" / "small.png", noise(48, 48, 3))
    run(models[0], tmp_path / "in", tmp_path / "out")
    page = opened("?backend=webgpu", ready=False)
    page.wait_for_selector("#engine.ready, #engine.failed")
    if "It has no WebGPU" in (words := page.inner_text("#engine")):
        pytest.skip("this Chromium has no software adapter")
    assert words.startswith("Ready: WebGPU in fp32"), words
    put(page, path)
    made, wanted = values(downloaded(page, path.name)[1]), values((tmp_path / "out" / path.name).read_bytes())
    assert np.abs(made.astype(int) - wanted).max() <= 1


def test_a_software_adapter_is_not_taken_for_a_gpu(opened: Open) -> None:
    assert opened("?threads=2").inner_text("#engine").startswith("Ready: WASM in fp32, 2 threads")


def test_a_page_that_is_not_isolated_does_without_threads(
    opened: Open, page_folder: Path, models: list[Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a host that sends no headers; here with the model in half alone."""
    folder = tmp_path / "half"
    shutil.copytree(page_folder, folder)
    card = json.loads((folder / CARD).read_bytes())
    card["models"] = card["models"][1:]
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    (tmp_path / "in").mkdir()
    path = png(tmp_path / "in" / "small.png", noise(40, 60, 3))
    run(models[1], tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(server, "HEADERS", {})
    with served(folder, 0) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page = opened("?threads=2", site=address(site))
        assert page.inner_text("#engine").startswith("Ready: WASM in fp16, ")
        assert "threads" not in page.inner_text("#engine")
        put(page, path)
        made, wanted = values(downloaded(page, path.name)[1]), values((tmp_path / "out" / path.name).read_bytes())
        assert np.abs(made.astype(int) - wanted).max() <= 1
        site.shutdown()


def test_what_is_not_as_pytorch_has_it_is_refused(opened: Open, page_folder: Path, tmp_path: Path) -> None:
    """The known picture's answer is of other weights."""
    folder = tmp_path / "other"
    shutil.copytree(page_folder, folder)
    card = json.loads((folder / CARD).read_bytes())
    for model in card["models"]:
        model["spec"]["answer"]["values"] = model["spec"]["answer"]["values"][::-1].replace("=", "A")[:4096]
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")
    with served(folder, 0) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page = opened(ready=False, site=address(site))
        page.wait_for_selector("#engine.failed")
        assert "This browser cannot run the model as PyTorch does. WASM in fp32: " in page.inner_text("#engine")
        site.shutdown()
