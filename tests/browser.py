"""The Chromium that is installed, for tests of pages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.processes import GUARD

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@contextlib.contextmanager
def chromium(*words: str) -> Iterator[Browser]:
    """A headless one, with more words on its command line."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        # Chromium's sandbox wants rights that a container's root lacks; it opens nothing here but our own files.
        args = ["--no-sandbox", *words]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=args, timeout=1e3 * GUARD)
        yield browser
        browser.close()
