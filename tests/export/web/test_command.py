"""`nafnet-export --format web`: the folder, what is not written over, and the server."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.export.web import server
from nafnet.export.web.folder import CARD, INDEX, Model, assets, is_current, write_folder
from nafnet.export.web.library import FILES
from nafnet.export.web.server import HEADERS, address, served
from nafnet.kept_tile import compare_with_answer, kept_tile
from nafnet.onnxfile import inspect_onnx
from nafnet.runtime import Restorer
from tests.export.conftest import Recorded, nafnet_export
from tests.platforms import WINDOWS
from tests.processes import GUARD, Ended, running


@pytest.fixture
def exported(checkpoint_path: Path, library_folder: Path, tmp_path: Path) -> tuple[Path, Ended]:
    """The page's folder, and what the command said."""
    shutil.copy(checkpoint_path, tmp_path / "small.safetensors")
    (tmp_path / "MODEL_CARD.md").write_text("# About it\n", encoding="utf-8")
    done = web("small.safetensors", library_folder, tmp_path)
    return tmp_path / "out" / "small-unverified-web", done


def web(checkpoint: str, library_folder: Path, cwd: Path, *words: str) -> Ended:
    options = ("--no-verify", "-o", "out", "--onnxruntime-web", library_folder)
    return nafnet_export(checkpoint, "--format", "web", *options, *words, cwd=cwd)


def test_the_folder_has_all_that_the_page_needs(exported: tuple[Path, Ended]) -> None:
    folder, done = exported
    assert done.returncode == 0, done.stderr
    assert f"{Path('out') / folder.name / 'index.html'}: " in done.stdout
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    own = {*assets(), "_headers", CARD, "model-card.md", "model-fp32.onnx", "model-fp16.onnx"}
    assert names == own | {f"onnxruntime-web/{name}" for name in FILES}
    card = json.loads((folder / CARD).read_bytes())
    for model, precision in zip(card["models"], ("fp32", "fp16"), strict=True):
        path = folder / model["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == model["sha256"]
        spec = inspect_onnx(path)
        assert json.loads(spec.to_json()) == model["spec"]
        assert (spec.precision, model["standing"]) == (precision, "not verified against PyTorch")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', (folder / INDEX).read_text(encoding="utf-8"))
    assert policy
    assert policy[1] == HEADERS["Content-Security-Policy"], "the page and its server allow the same"
    assert "Cross-Origin-Embedder-Policy: require-corp" in (folder / "_headers").read_text(encoding="utf-8")


def test_the_known_picture_is_that_of_the_spec(exported: tuple[Path, Ended]) -> None:
    folder, _ = exported
    known, spec = json.loads((folder / CARD).read_bytes())["known"], inspect_onnx(folder / "model-fp32.onnx")
    side = known["side"]
    pixels = np.frombuffer(base64.b64decode(known["pixels"]), np.uint8).reshape(1, 3, side, side)
    tile = pixels.astype(np.float32) / np.float32(255)
    assert np.array_equal(tile, kept_tile(spec))
    with Restorer.load(folder / "model-fp32.onnx", backend="onnxruntime") as restorer:
        made = restorer.backend(tile)
    assert compare_with_answer(spec, made, "fp32").refused is None
    answer = np.frombuffer(base64.b64decode(spec.answer.values), "<f4").reshape(3, -1)  # type: ignore[union-attr]
    assert np.abs(made[0].reshape(3, -1)[:, known["places"]] - answer).max() < 1e-4


def test_figures_of_the_gate_are_in_the_card(plain_export: Recorded, tmp_path: Path) -> None:
    made = plain_export.exported
    write_folder(tmp_path / "page", [Model(content=made.model.SerializeToString(), spec=made.spec)], {}, None)
    (model,) = json.loads((tmp_path / "page" / CARD).read_bytes())["models"]
    assert model["standing"] == "checked against PyTorch"
    assert {each["name"] for each in model["spec"]["parity"]["executors"]} >= {"onnxruntime"}
    assert not (tmp_path / "page" / "model-fp16.onnx").exists()


def test_nothing_of_another_is_written_over(
    exported: tuple[Path, Ended], library_folder: Path, tmp_path: Path, checkpoint_path: Path
) -> None:
    folder, _ = exported
    (folder / "CNAME").write_text("mine", encoding="utf-8")
    assert web("small.safetensors", library_folder, tmp_path).returncode == 0, "the same weights may be"
    assert (folder / "CNAME").is_file()
    loaded = load_checkpoint(checkpoint_path)
    state = {name: tensor * 1.01 for name, tensor in loaded.state_dict.items()}
    save_checkpoint(tmp_path / "small.safetensors", state, loaded.spec.replace(weights_sha256=None))
    before = (folder / CARD).read_bytes()
    refused = web("small.safetensors", library_folder, tmp_path)
    assert refused.returncode == 2
    assert "there is a page of other weights; choose another folder with -o, or --overwrite it" in refused.stderr
    assert (folder / CARD).read_bytes() == before
    (folder / CARD).unlink()
    refused = web("small.safetensors", library_folder, tmp_path, "--overwrite")
    assert "there is a folder of another origin" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "web", "--int8"), "--int8 --format web: a browser has fp32 and fp16; leave it out"),
        (("--format", "web", "--io", "uint8"), "--io uint8 --format web: the page gives float32"),
        (("--serve",), "--serve: for a page alone; add --format web"),
        (("--port", "80"), "--port: for a page alone; add --format web"),
        (("--format", "web", "--port", "8001"), "--port 8001: for --serve alone"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = nafnet_export(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_stands_is_served_as_it_is(
    exported: tuple[Path, Ended], library_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = exported
    asked: list[tuple[Path, int | None]] = []
    monkeypatch.setattr(server, "serve", lambda folder, port, _: asked.append((folder, port)) or 0)
    done = web("small.safetensors", library_folder, tmp_path, "--serve")
    assert "as it was exported before" in done.stdout
    assert asked == [(Path("out") / folder.name, None)]
    assert is_current(folder, inspect_onnx(folder / "model-fp32.onnx"))
    (folder / "app.js").write_text("of an earlier version", encoding="utf-8")
    assert not is_current(folder, inspect_onnx(folder / "model-fp32.onnx"))
    assert web("small.safetensors", library_folder, tmp_path, "--serve", "--port", "8001").returncode == 0
    assert asked[1] == (Path("out") / folder.name, 8001)
    assert (folder / "app.js").read_bytes() == assets()["app.js"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder with one file of each kind, served."""
    tmp_path = tmp_path_factory.mktemp("served")
    (tmp_path / "site" / "deeper").mkdir(parents=True)
    for name in ("index.html", "a.mjs", "a.wasm", "a.js"):
        (tmp_path / "site" / name).write_text(name, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not served", encoding="utf-8")
    with served(tmp_path / "site", 0) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield address(site)
        site.shutdown()


@pytest.mark.skipif(WINDOWS, reason="Wine has no console, so no Ctrl-C")
def test_ctrl_c_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("here", encoding="utf-8")
    script = "import sys, functools; from pathlib import Path; from nafnet.export.web.server import serve\n"
    script += "sys.exit(serve(Path(sys.argv[1]), None, functools.partial(print, flush=True)))"
    with running([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        place = said.partition(" at ")[2].partition(",")[0]
        with urllib.request.urlopen(place) as answer:
            assert answer.read() == b"here"
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0
        assert process.stdout.read() == ""


def test_the_server_sends_what_threads_need(site: str) -> None:
    for name, kind in (("", "text/html; charset=utf-8"), ("a.mjs", "text/javascript"), ("a.wasm", "application/wasm")):
        with urllib.request.urlopen(site + name) as answer:
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize("path", ["deeper/", "../secret.txt", "%2e%2e/secret.txt", "none"])
def test_the_server_gives_nothing_else(site: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(site + path)


def test_a_port_that_is_taken(tmp_path: Path, site: str) -> None:
    from nafnet.errors import UsageError

    with (
        pytest.raises(UsageError, match=r"--port \d+: cannot be had .*; choose another"),
        served(tmp_path, int(site.split(":")[2].strip("/"))),
    ):
        pass
