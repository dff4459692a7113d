"""The process that decodes: what hangs, crashes or asks for too much is one failed file, and the next one is read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import DecodingError, ImageError
from nafnet.images.header import Header
from nafnet.runtime import Restorer, restore_file
from nafnet.runtime.folder.causes import explained
from nafnet.runtime.folder.decoding import Decoder, DecoderStopped
from nafnet.runtime.folder.one_file import KeptDecoder
from nafnet.runtime.folder.settings import Limits
from tests.platforms import enforced_memory, forks, signals
from tests.processes import GUARD, has_ended, kill, running, suspend

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
        suspend(process_of(decoder))
        decoder.limits = Limits(seconds=0.5)
        with pytest.raises(ImageError, match=r"good\.png: decoding it took too long"):
            decoded(decoder, good)
        decoder.limits = PATIENT
        assert np.array_equal(decoded(decoder, good), photograph)


@pytest.mark.parametrize("verb", ["digest", "header", "decode"])
@signals
def test_what_crashes_is_named(verb: str, good: Path, photograph: NDArray[np.uint8]) -> None:
    with Decoder(PATIENT) as decoder:
        decoder.header(good)
        os.kill(process_of(decoder), signal.SIGSEGV)
        with pytest.raises(ImageError, match=r"good\.png: the decoder died of it \(killed by SIGSEGV\)"):
            list(decoder.decode(good)) if verb == "decode" else getattr(decoder, verb)(good)
        assert np.array_equal(decoded(decoder, good), photograph)


@enforced_memory
def test_what_takes_too_much_memory_fails_alone(tmp_path: Path, good: Path, photograph: NDArray[np.uint8]) -> None:
    """A WebP of 144 megapixels takes 600 MB to decode, for the format has no bands."""
    Image.new("RGB", (12_000, 12_000)).save(tmp_path / "large.webp", quality=1, method=0)
    with Decoder(Limits(seconds=GUARD, memory=900 * 2**20)) as decoder:
        with pytest.raises(ImageError, match=r"large\.webp"):
            decoded(decoder, tmp_path / "large.webp")
        assert np.array_equal(decoded(decoder, good), photograph)


def turned(path: Path, side: int = 1200) -> Path:
    """A photograph that is turned, so that its rows are needed out of order and wait in a temporary file."""
    exif = Image.Exif()
    exif[0x112] = 6
    Image.effect_noise((side, side), 50).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_temporary_folder_that_takes_nothing_is_no_damage(
    suffix: str, tmp_path: Path, good: Path, photograph: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not there stands for all: a user of these tests may be one whom no permission stops."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIPS_DISC_THRESHOLD", "100k")
    with Decoder(PATIENT) as decoder:
        with pytest.raises(
            ImageError, match=r"the temporary folder .*none takes no more \(No such file.*set TMPDIR"
        ) as told:
            decoded(decoder, turned(tmp_path / f"turned.{suffix}"))
        assert "damaged" not in str(told.value)
        assert np.array_equal(decoded(decoder, good), photograph)


def test_a_full_temporary_folder_is_named(tmp_path: Path) -> None:
    error = ImageError("a.jpg: damaged JPEG (wbuffer_write: write failed)")
    message = explained(error, Path("a.jpg"), 0)
    assert message.startswith("a.jpg: cannot be decoded, for the temporary folder ")
    assert "damaged" not in message
    other = ImageError("a.jpg: damaged JPEG (VipsJpeg: premature end of JPEG image)")
    assert explained(other, turned(tmp_path / "a.jpg", 50), 0) == str(other)


@enforced_memory
@pytest.mark.parametrize(("suffix", "limit"), [("jpg", 150), ("webp", 300), ("avif", 300)])
def test_too_little_memory_is_no_damage(suffix: str, limit: int, tmp_path: Path) -> None:
    """Decoders have many words for it, and not all mean memory; AVIF's says that it cannot seek."""
    options: dict[str, Any] = {"webp": {"quality": 1, "method": 0}, "avif": {"quality": 1, "speed": 10}}.get(suffix, {})
    Image.effect_noise((4000, 3000), 50).convert("RGB").save(tmp_path / f"a.{suffix}", **options)
    words = f"(more than the {limit} MB.*raise)|(or raise) --decode-memory"
    with (
        Decoder(Limits(seconds=GUARD, memory=limit * 2**20)) as decoder,
        pytest.raises((ImageError, DecodingError), match=words) as told,
    ):
        decoded(decoder, tmp_path / f"a.{suffix}")
    assert "damaged " not in str(told.value) or "damaged or too large" in str(told.value)


def test_a_process_that_cannot_start_is_no_fault_of_the_file(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own last words are the message, of an error that ends the run."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(
        "import os, sys\nsys.stderr.write('no libraries\\n')\nos._exit(3)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    with Decoder(PATIENT) as decoder:
        with pytest.raises(DecodingError, match=r"the decoding process does not start \(no libraries\)"):
            decoder.header(good)
        monkeypatch.delenv("PYTHONPATH")
        assert decoder.header(good).width == 180


def test_restoring_files_keeps_one_process_until_the_restorer_closes(
    good: Path, identity_onnx: Path, tmp_path: Path
) -> None:
    processes = []
    (tmp_path / "no.png").write_bytes(b"no picture")
    with Restorer.load(identity_onnx) as restorer:
        for index in range(4):
            if index == 2:
                with pytest.raises(ImageError, match="not a PNG"):
                    restore_file(restorer, tmp_path / "no.png", tmp_path / "out.png")
            restore_file(restorer, good, tmp_path / f"{index}.png")
            processes.append(process_of(restorer.companion(KeptDecoder)._decoder))
        assert len(set(processes)) == 1
        kill(processes[0])
        restore_file(restorer, good, tmp_path / "after.png")
        another = process_of(restorer.companion(KeptDecoder)._decoder)
        assert another != processes[0]
        assert not has_ended(another)
    assert has_ended(another)


@forks
def test_a_fork_leaves_its_parents_process_alone(good: Path) -> None:
    decoder = KeptDecoder()
    with decoder:
        decoder.take().header(good)
        number = process_of(decoder.take())
        child = os.fork()
        if not child:
            try:
                ok = decoder.take()._process is None
                decoder.close()
            finally:
                os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert not has_ended(number)
        assert decoder.take().header(good).width == 180
        assert process_of(decoder.take()) == number


def test_stopping_ends_what_is_under_way(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = threading.Event(), Decoder._ask

    def heard(self: Decoder, path: Path, verb: str) -> None:
        ask(self, path, verb)
        asked.set()

    decoder = Decoder(PATIENT)
    decoder.header(good)
    suspend(process_of(decoder))
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


def test_a_file_that_was_left_is_no_part_of_the_next(good: Path, tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    """Whenever what was left is let go of: with the next file under way, it must not be stopped for it."""
    turned_twice = tmp_path / "turned.png"
    Image.fromarray(photograph[::-1, ::-1]).save(turned_twice)
    with Decoder(PATIENT) as decoder:
        left, read_on = decoder.decode(good), decoder.decode(good)
        next(left)
        next(read_on)
        other = decoder.decode(turned_twice)
        next(other)
        left.close()
        with pytest.raises(AssertionError, match="another file was begun"):
            next(read_on)
        assert np.array_equal(np.concatenate(list(other)), photograph[::-1, ::-1])
        assert np.array_equal(decoded(decoder, good), photograph)
