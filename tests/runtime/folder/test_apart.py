"""Runs where something about them is not as usual: the folder one stands in, the user, the room, who stops them."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import UsageError
from nafnet.files import CACHE_VARIABLE, cache_folder
from nafnet.runtime import Restorer
from nafnet.runtime.folder.settings import Encoding, result_settings
from tests.platforms import links, odd_names, posix_alone, signals
from tests.processes import GUARD, Hold, running, wait_until
from tests.runtime.conftest import PROGRAM, nafnet_run

STRANGERS = ("base64", "secrets", "numpy", "json", "struct", "socket", "click", "pyvips", "sitecustomize")


def test_no_code_of_the_current_folder_is_run(here: Path, identity_onnx: Path) -> None:
    for name in STRANGERS:
        (here / "photos" / f"{name}.py").write_text(f"open('RAN-{name}', 'w')", encoding="ascii")
    words = [PROGRAM, ".", "../out", "--model", identity_onnx, "--html", "../page.html", "--compare", "../compared"]
    done = subprocess.run(words, cwd=here / "photos", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list((here / "photos").glob("RAN-*"))


def test_a_child_of_any_library_has_no_current_folder_on_its_path(tmp_path: Path) -> None:
    """As torch.compile's and Ray's workers, which we do not start ourselves."""
    (tmp_path / "secrets.py").write_text("open('RAN', 'w')", encoding="ascii")
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import secrets'], check=True)"
    script = f"from nafnet.interpreter import isolate_children; isolate_children(); {start}"
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, check=True)
    assert not (tmp_path / "RAN").exists()


def test_a_broken_decoder_ends_the_run_in_its_own_words(here: Path, identity_onnx: Path) -> None:
    """Here the program starts, and a module that only the decoding process is named with is broken."""
    (here / "broken").mkdir()
    script = (
        "import sys\nif 'nafnet.runtime.folder.worker' in sys.orig_argv: "
        "print('ImportError: libvips.so.42: no such file', file=sys.stderr); import os; os._exit(1)"
    )
    (here / "broken" / "sitecustomize.py").write_text(script, encoding="ascii")
    done = subprocess.run(
        [PROGRAM, "photos", "out", "--model", identity_onnx, "--report", "report.json"], cwd=here,
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(here / "broken")},
    )  # fmt: skip
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert "the decoding process does not start (ImportError: libvips.so.42: no such file)" in last
    assert "damaged" not in done.stderr
    rows = json.loads((here / "report.json").read_text(encoding="utf-8"))["files"]
    assert {row["status"] for row in rows} == {"skipped"}


UNKNOWN = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
"""Makes a program's user one that nobody has heard of."""


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*UNKNOWN, "true"], capture_output=True, check=False).returncode != 0,
    reason="this system gives its users no namespaces",
)
@pytest.mark.parametrize(
    "words",
    [["nafnet-run", "photos", "out"], ["nafnet-export", "--inspect", "photos/a.png"],
     ["nafnet-train", "data", "photos"], ["nafnet-bench", "--model", "photos/a.png"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_an_unknown_user_without_a_home(words: list[str], here: Path) -> None:
    """As in a container: the cache goes to the temporary files. All but the first command only begin."""
    (here / "temporary").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    done = subprocess.run(
        [*UNKNOWN, PROGRAM.with_name(words[0]), *words[1:]], cwd=here, capture_output=True, text=True, check=False,
        env={**kept, "TMPDIR": str(here / "temporary")},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if words[0] != "nafnet-run":
        assert done.returncode == 2, done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert len(list((here / "out").rglob("[abc].*"))) == 3
    (cache,) = (here / "temporary").glob("nafnet-toolchain-54321")
    assert cache.stat().st_mode & 0o777 == 0o700


@links
@posix_alone
def test_a_cache_that_somebody_else_laid_out_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # no home
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache_folder("plans") == tmp_path / f"nafnet-toolchain-{os.getuid()}" / "plans"
    (tmp_path / "theirs").mkdir()
    link = tmp_path / f"nafnet-toolchain-{os.getuid()}"
    link.rename(tmp_path / "old")
    link.symlink_to("theirs")
    with pytest.raises(UsageError, match=f"no cache: .*set {CACHE_VARIABLE} to a folder that can"):
        cache_folder("plans")


@pytest.mark.parametrize(
    "options",
    [
        ["--verbose"],
        ["--tune"],
        ["--verbose", "--tune", "--html", "p.html", "--report", "r.json"],
        ["--quiet", "--tune"],
    ],
)
def test_standard_output_is_the_pictures_alone(
    options: list[str], here: Path, photograph: NDArray[np.uint8], identity_onnx: Path
) -> None:
    """Whatever else is asked for, and whatever a library prints."""
    loud = (
        "import os, sys; from nafnet.runtime.engine.restorer import Restorer; load = Restorer.load\n"
        "def talking(*args, **kwargs): print('text'); os.write(1, b'from C'); return load(*args, **kwargs)\n"
        "Restorer.load = talking; from nafnet.runtime.cli import main; main()"
    )
    done = nafnet_run(here, *options, "--model", identity_onnx, "photos/a.png", "-", program=loud)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(done.stdout))), photograph)
    assert done.stdout.startswith(b"\x89PNG")
    assert done.stdout.endswith(b"IEND\xaeB`\x82")
    assert b"from C" in done.stderr
    if "--verbose" in options:
        assert b"1 restored" in done.stderr


def test_a_dry_run_to_standard_output_prints_nothing_there(here: Path, identity_onnx: Path) -> None:
    done = nafnet_run(here, "--dry-run", "--model", identity_onnx, "photos/a.png", "-")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"180x120 png" in done.stderr


def test_quiet_is_quiet(here: Path, identity_onnx: Path) -> None:
    done = nafnet_run(here, "--quiet", "--tune", "--model", identity_onnx, "photos", "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@odd_names
def test_names_do_not_command_the_terminal(here: Path, photograph: NDArray[np.uint8], identity_onnx: Path) -> None:
    """In the list, in failures, in what is noted and in the summary."""
    Image.fromarray(photograph).save(here / "photos" / "good\x1b[2J.png")
    (here / "photos" / "bad\x1b[2J.png").write_bytes(b"no picture")
    out = here / "out\x1b[31m"
    for options in (["--dry-run"], ["--verbose", "--compare", "pairs\x1b[1m", "--format", "jpeg"]):
        done = nafnet_run(here, *options, "--model", identity_onnx, "photos", out)
        assert done.returncode == 1
        assert b"\x1b" not in done.stdout + done.stderr
        assert rb"bad\x1b[2J.png" in done.stderr
    assert rb"out\x1b[31m" in done.stdout
    assert (out / "good\x1b[2J.jpg").exists()


def test_what_does_not_fit_fails_alone_before_it_is_begun(here: Path, identity_onnx: Path) -> None:
    """A small file that is very wide takes gigabytes; the others are restored."""
    Image.new("L", (400_000, 256)).save(here / "photos" / "wide.png")
    small = (
        "from nafnet.system import SYSTEM; SYSTEM.available_memory = lambda: 900 * 2**20\n"
        "from nafnet.runtime.cli import main; main()"
    )
    words = ["--model", identity_onnx, "--report", "report.json", "photos", "out"]
    done = nafnet_run(here, *words, program=small)
    assert done.returncode == 1
    rows = json.loads((here / "report.json").read_text(encoding="utf-8"))["files"]
    failed = [row for row in rows if row["status"] == "failed"]
    assert [Path(row["input"]).name for row in failed] == ["wide.png"]
    assert "400000x256 pixels take about" in failed[0]["error"]
    assert "900 MB are available; a smaller --tile takes less" in failed[0]["error"]
    assert failed[0]["seconds"]["infer"] == 0
    assert sum(row["status"] == "restored" for row in rows) == 3


@signals
def test_a_stopped_run_writes_a_page_without_pictures(here: Path, identity_onnx: Path) -> None:
    """SIGTERM while the second file gets its name: none is begun after it, and none is opened for the page."""
    large = Image.effect_noise((900, 700), 50)
    for index in range(20):
        large.save(here / "photos" / f"large-{index:02}.png", compress_level=0)
    hold = Hold(here / "held", 2, r"large-\d\d\.png$")
    words = [PROGRAM, "photos", "out", "--model", identity_onnx, "--html", "page.html", "--report", "report.json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": hold.environment}
    with running(words, cwd=here, **pipes) as process:
        hold.wait(process)
        process.send_signal(signal.SIGTERM)
        hold.release()
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130, errors
    page = (here / "page.html").read_text(encoding="utf-8")
    assert "The run was cut short" in page
    assert "data:image" not in page
    rows = json.loads((here / "report.json").read_text(encoding="utf-8"))["files"]
    assert any(row["status"] == "skipped" for row in rows)


@signals
def test_an_encoder_that_cannot_be_stopped_does_not_hold_the_run(here: Path, identity_onnx: Path) -> None:
    """Encoders of whole images, as AVIF's, take minutes and hear nothing; this one never ends."""
    endless = (
        "import threading; from nafnet.images import writer\n"
        "def finish(self): open('begun', 'w').close(); threading.Event().wait()\n"
        "writer.ImageWriter.finish = finish; from nafnet.runtime.cli import main; main()"
    )
    words = ["photos", "out", "--model", identity_onnx, "--html", "page.html", "--report", "report.json"]
    with running([sys.executable, "-c", endless, *words], cwd=here, stderr=subprocess.PIPE) as process:
        wait_until((here / "begun").exists, process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert b"interrupted; run the same command again to go on" in errors
    rows = json.loads((here / "report.json").read_text(encoding="utf-8"))["files"]
    assert {row["status"] for row in rows} == {"skipped"}
    assert "cut short" in (here / "page.html").read_text(encoding="utf-8")


def test_a_backend_that_computes_in_less_has_other_results(identity_onnx: Path) -> None:
    """Else a run with openvino-bf16 would pass for one in fp32, and its files for done."""
    from nafnet.runtime.backends.openvino_cpu import OpenVinoBackend, OpenVinoBfloat16Backend

    with Restorer.load(identity_onnx, backend="openvino") as restorer:
        settings = [result_settings(restorer, Encoding())]
        for kind in (OpenVinoBfloat16Backend, OpenVinoBackend):
            restorer.backend.__class__ = kind
            settings.append(result_settings(restorer, Encoding()))
        restorer.backend.beside_cpu = True  # there tiles have another size
        settings.append(result_settings(restorer, Encoding()))
    assert [each["precision"] for each in settings] == ["fp32", "bf16", "fp32", "fp32"]
    assert settings[2] == settings[0] != settings[3]


@signals
def test_a_library_that_hears_no_signal_does_not_hold_the_run(here: Path, identity_onnx: Path) -> None:
    """A whole image on a CPU is one call of minutes, and Python hears of a signal only after it."""
    deaf = (
        "import time; from nafnet.runtime.engine.restorer import Restorer\n"
        "def call(*_):\n while True:\n  try:\n   open('begun', 'w').close()\n   time.sleep(600)\n"
        "  except KeyboardInterrupt: pass\n"
        "Restorer.restore_stream = call; from nafnet.runtime.cli import main; main()"
    )
    words = ["photos", "out", "--model", identity_onnx]
    with running([sys.executable, "-c", deaf, *words], cwd=here, stderr=subprocess.PIPE) as process:
        wait_until((here / "begun").exists, process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert b"interrupted; run the same command again to go on; what was under way" in errors


def test_no_cache_at_all_is_done_without(here: Path, identity_onnx: Path) -> None:
    (here / "file").write_bytes(b"")
    chosen = f"import os; os.environ['NAFNET_CACHE'] = {str(here / 'file' / 'x')!r}"
    program = f"{chosen}; from nafnet.runtime.cli import main; main()"
    words = ["--tune", "--backend", "openvino", "--model", identity_onnx, "photos", "out"]
    done = nafnet_run(here, *words, program=program)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
