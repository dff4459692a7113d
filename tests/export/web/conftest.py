"""A page of a small network, served, and a Chromium that opens it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nafnet.errors import UsageError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.web.folder import Model, write_folder
from nafnet.export.web.library import Library, library
from nafnet.export.web.server import address, served
from tests.browser import CHROMIUM, chromium
from tests.export.conftest import recorded
from tests.processes import GUARD
from tests.sharing import Once

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def library_folder(once: Once) -> Path:
    """ONNX Runtime Web itself."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name, content in library().items():
            (folder / name).write_bytes(content)

    try:
        return once("onnxruntime-web", make)
    except UsageError as error:
        pytest.skip(f"ONNX Runtime Web cannot be had: {error}")


@pytest.fixture(scope="session")
def files(library_folder: Path) -> Library:
    return library(library_folder)


@pytest.fixture(scope="session")
def models(checkpoint_path: Path) -> list[Model]:
    """In fp32 and in fp16; the gate is the business of other tests."""
    plain = ExportOptions(norm="rms", verify=False)
    half = dataclasses.replace(plain, precision="fp16", norm="fused")
    made = [recorded(checkpoint_path, options).exported for options in (plain, half)]
    return [Model(content=each.model.SerializeToString(), spec=each.spec) for each in made]


@pytest.fixture(scope="session")
def page_folder(models: list[Model], files: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of both."""
    folder = tmp_path_factory.mktemp("site") / "small-web"
    write_folder(folder, models, files, None)
    return folder


@pytest.fixture(scope="session")
def site(page_folder: Path) -> Iterator[str]:
    """Where the page is served."""
    with served(page_folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield address(server)
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """With WebGPU on a software adapter, which the page takes only where it is asked to."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with chromium("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader") as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, site: str) -> Iterator[Open]:
    """Opens the page; whatever it asks another host for, sends, or complains of, fails the test."""
    contexts = []

    def start(words: str = "", *, width: int = 1280, ready: bool = True, site: str = site) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.set_default_timeout(1e3 * GUARD)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.on("console", lambda message: message.type == "error" and pytest.fail(message.text))

        def own_alone(request: object) -> None:
            url, method = request.url, request.method  # type: ignore[attr-defined]
            assert url.startswith((site, "blob:", "data:")), f"the page asks for {url}"
            assert method == "GET", f"the page sends a {method} to {url}"

        context.on("request", own_alone)
        page.goto(site + words)
        if ready:
            page.wait_for_selector("#engine.ready, #engine.failed")
            assert "ready" in (page.get_attribute("#engine", "class") or ""), page.inner_text("#engine")
        return page

    yield start
    for context in contexts:
        context.close()
