"""The process that decodes: what hangs, crashes or asks for too much is one failed file, and the next one is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images.formats import Header
from nafnet.runtime.folder.decoding import Decoder, DecoderStopped
from nafnet.runtime.folder.settings import Limits
from tests.processes import GUARD, has_ended, running

PATIENT = Limits(seconds=GUARD)


@pytest.fixture
def good(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    Image.fromarray(photograph).save(tmp_path / "good.png")
    return tmp_path / "good.png"


def decoded(decoder: Decoder, path: Path) -> NDArray[np.generic]:
    header, *bands = decoder.decode(path)
    assert isinstance(header, Header)
    return np.concatenate(bands)  # type: ignore[arg-type]


def process_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def test_what_hangs_is_stopped(good: Path, photograph: NDArray[np.uint8]) -> None:
    with Decoder(PATIENT) as decoder:
        decoder.header(good)
        os.kill(process_of(decoder), signal.SIGSTOP)
        decoder._limits = Limits(seconds=0.5)
        with pytest.raises(ImageError, match=r"good\.png: decoding it took too long"):
            decoded(decoder, good)
        decoder._limits = PATIENT
        assert np.array_equal(decoded(decoder, good), photograph)


@pytest.mark.parametrize("verb", ["digest", "header", "decode"])
def test_what_crashes_is_named(verb: str, good: Path, photograph: NDArray[np.uint8]) -> None:
    with Decoder(PATIENT) as decoder:
        decoder.header(good)
        os.kill(process_of(decoder), signal.SIGSEGV)
        with pytest.raises(ImageError, match=r"good\.png: the decoder died of it \(SIGSEGV\)"):
            list(decoder.decode(good)) if verb == "decode" else getattr(decoder, verb)(good)
        assert np.array_equal(decoded(decoder, good), photograph)


def test_what_takes_too_much_memory_fails_alone(tmp_path: Path, good: Path, photograph: NDArray[np.uint8]) -> None:
    """A WebP of 144 megapixels takes 600 MB to decode, for the format has no bands."""
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "large.webp", quality=1, method=0)
    with Decoder(Limits(seconds=GUARD, memory=900 * 2**20)) as decoder:
        with pytest.raises(ImageError, match=r"large\.webp"):
            decoded(decoder, tmp_path / "large.webp")
        assert np.array_equal(decoded(decoder, good), photograph)


def test_stopping_ends_what_is_under_way(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = threading.Event(), Decoder._ask

    def heard(self: Decoder, path: Path, verb: str) -> None:
        ask(self, path, verb)
        asked.set()

    decoder = Decoder(PATIENT)
    decoder.header(good)
    os.kill(process_of(decoder), signal.SIGSTOP)
    monkeypatch.setattr(Decoder, "_ask", heard)
    stopper = threading.Thread(target=lambda: asked.wait(GUARD) and decoder.stop())
    stopper.start()
    with decoder, pytest.raises(DecoderStopped):
        decoded(decoder, good)
    stopper.join()


def test_it_dies_with_its_parent(good: Path) -> None:
    """Also when it hangs in the middle of a file."""
    script = (
        "import sys, time; from pathlib import Path; from nafnet.runtime.folder.decoding import Decoder\n"
        "from nafnet.runtime.folder.settings import Limits\n"
        f"d = Decoder(Limits(seconds={GUARD})); d.header(Path(sys.argv[1])); print(d._process.pid, flush=True)\n"
        f"time.sleep({GUARD})"
    )
    with running([sys.executable, "-c", script, good], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait(GUARD)
    given_up = time.monotonic() + GUARD
    while not has_ended(child):
        assert time.monotonic() < given_up, "the decoder outlived its parent"
        time.sleep(0.05)
