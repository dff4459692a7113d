"""`--strength 0,0.5,1`: a file for each strength, of one pass, and each as if it had been asked for alone."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.begun import PLAIN
from tests.platforms import signals, with_slashes
from tests.processes import GUARD, Hold, running
from tests.runtime.conftest import PROGRAM, nafnet_run

COUNTED = (
    "from nafnet.runtime.backends.base import Backend\n"
    "honest = Backend._run_written\n"
    "def counted(*words):\n"
    "    with open('calls', 'a') as file:\n"
    "        file.write('x')\n"
    "    return honest(*words)\n"
    "Backend._run_written = counted\n" + PLAIN
)
"""The program, which writes a letter for each call of the network."""
NAMES = ("a.png", "b.jpg", "below/c.tif", "grey.png", "holes.png", "light.tif")


@pytest.fixture
def photos(here: Path, photograph: NDArray[np.uint8]) -> Path:
    """A folder with photos/ of every kind: 8 and 16 bits, floats that are linear light, grey, with alpha."""
    folder = here / "photos"
    Image.fromarray(photograph[:, :, 0]).save(folder / "grey.png")
    alpha = np.arange(120 * 180, dtype=np.uint32).reshape(120, 180, 1).astype(np.uint8)
    Image.fromarray(np.concatenate([photograph, alpha], 2)).save(folder / "holes.png")
    light = (photograph.astype(np.float32) / 255) ** 2.2 * 3  # some brighter than white
    tifffile.imwrite(folder / "light.tif", light, photometric="rgb")
    return here


def variant(name: str, strength: str) -> str:
    return str(Path(name).with_name(f"{Path(name).stem}-strength-{strength}{Path(name).suffix}"))


def sheet_of(name: str) -> str:
    kind = "" if name.endswith(".jpg") else f"-{Path(name).suffix[1:]}"
    return str(Path(name).with_name(f"{Path(name).stem}{kind}-strengths.jpg"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the journal."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def calls(here: Path) -> int:
    """Of the network since the last time."""
    return (here / "calls").rename(here / "counted").stat().st_size


def run(here: Path, *words: str | Path, program: str = PLAIN) -> subprocess.CompletedProcess[bytes]:
    done = nafnet_run(here, *words, program=program)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("rest", [(), ("--chroma", "0.7", "--detail", "0.4")])
def test_each_is_as_if_it_were_alone_and_there_is_one_pass(
    backend: str, rest: Sequence[str], photos: Path, mixing_onnx: Path
) -> None:
    words = ["--backend", backend, "--threads", "1", "--tile", "64", "--model", mixing_onnx, *rest, "photos"]
    run(photos, "--strength", "0,0.50,1", *words, "out", program=COUNTED)
    together = calls(photos)
    made = contents(photos / "out")
    assert set(made) == {variant(name, each) for name in NAMES for each in ("0", "0.5", "1")} | set(
        map(sheet_of, NAMES)
    )
    for strength in ("0", "0.5", "1"):
        run(photos, "--strength", strength, *words, strength, program=COUNTED)
        assert together == calls(photos) > len(NAMES)
        alone = contents(photos / strength)
        assert {name: made[variant(name, strength)] for name in NAMES} == alone
    if not rest:
        run(photos, *words, "plain")
        assert contents(photos / "plain") == {name: made[variant(name, "1")] for name in NAMES}
        for name in ("a.png", "grey.png", "holes.png", "below/c.tif", "light.tif"):
            read = tifffile.imread if name.endswith("tif") else lambda path: np.asarray(Image.open(path))
            assert np.array_equal(read(photos / "out" / variant(name, "0")), read(photos / "photos" / name))


def test_a_second_run_does_what_is_left(photos: Path, mixing_onnx: Path) -> None:
    """The list is no part of what a file is: another list does the new strengths alone, and the sheets again."""
    words = ["--threads", "1", "--model", mixing_onnx, "photos", "out"]
    run(photos, "--strength", "0,0.5,1", *words)
    before = {path: path.stat().st_mtime_ns for path in (photos / "out").rglob("*-strength*")}
    done = run(photos, "--strength", "0,0.5,1", *words)
    assert b"nothing restored, 18 done before" in done.stdout
    assert b"6 contact sheets -> out" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in before}
    wide = Image.open(photos / "out" / "b-strengths.jpg").width
    done = run(photos, "--strength", "0,1", *words)
    assert b"nothing restored, 12 done before" in done.stdout
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if "-strength-" in path.name)
    assert Image.open(photos / "out" / "b-strengths.jpg").width < wide, "what is asked for is shown"
    (photos / "out" / "b-strength-1.jpg").unlink()
    (photos / "out" / "a-png-strengths.jpg").unlink()
    done = run(photos, "--strength", "0,0.5,1", *words)
    assert b"1 restored, 17 done before" in done.stdout
    assert (photos / "out" / "a-png-strengths.jpg").exists()
    done = run(photos, "--strength", "1,0.25", *words, program=COUNTED)
    assert b"6 restored, 6 done before" in done.stdout
    done = run(photos, "--strength", "0,0.5", "--detail", "0.5", *words)
    assert b"12 restored" in done.stdout, "another look is another result"


def test_killed_it_goes_on(photos: Path, mixing_onnx: Path) -> None:
    """Between the strengths of a photograph, and between a photograph and its sheet."""
    words = ["--threads", "1", "--model", mixing_onnx, "--strength", "0,0.5,1", "photos"]
    run(photos, *words, "expected")
    for count, pattern in ((2, r"/out/.*-strength-"), (1, r"/out/.*-strengths")):
        hold = Hold(photos / f"held-{count}", count, pattern)
        command = [PROGRAM, *words, photos / "out"]
        with running(command, cwd=photos, env=hold.environment, stderr=subprocess.PIPE) as process:
            hold.wait(process)
            process.kill()
            process.wait(GUARD)
        assert contents(photos / "out") != contents(photos / "expected")
    run(photos, *words, "out")
    assert contents(photos / "out") == contents(photos / "expected"), "no temporary file is left either"
    lines = [json.loads(line) for path in (photos / "out").rglob("*.jsonl") for line in path.open()]
    made = [line for line in lines if line["event"] == "restored"]
    assert len(made) <= 18 + 2
    assert len({line["key"] for line in made}) == 3, "the strength is a part of what decides the bytes"


@signals
def test_interrupted_while_a_sheet_is_made(photos: Path, mixing_onnx: Path) -> None:
    """The run ends with what it has; run again, it makes the sheets alone."""
    words = ["--threads", "1", "--model", mixing_onnx, "--strength", "0,1", "photos", photos / "out"]
    hold = Hold(photos / "held", 1, r"/out/.*-strengths")
    with running([PROGRAM, *words], cwd=photos, env=hold.environment, stderr=subprocess.PIPE) as process:
        hold.wait(process)
        process.send_signal(signal.SIGINT)
        hold.release()
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130, errors
    assert not list(photos.rglob("*.partial"))
    done = run(photos, *words)
    assert len(list((photos / "out").rglob("*-strengths.jpg"))) == 6
    assert b"6 contact sheets" in done.stdout


def test_what_is_not_ours_is_not_replaced(photos: Path, mixing_onnx: Path) -> None:
    (photos / "out").mkdir()
    (photos / "out" / "a-strength-0.5.png").write_bytes(b"precious")
    (photos / "out" / "b-strengths.jpg").write_bytes(b"precious")
    words = ["--threads", "1", "--model", mixing_onnx, "--strength", "0,0.5,1", "photos/a.png", "photos/b.jpg", "out"]
    done = nafnet_run(photos, *words)
    assert done.returncode == 1
    assert b"out/a-strength-0.5.png is there and was not written from here" in with_slashes(done.stderr)
    assert b"5 restored, 1 failed" in done.stdout
    assert b"no contact sheet: out/b-strengths.jpg is there and was not written from here" in with_slashes(done.stdout)
    assert b"1 contact sheet -> out" in done.stdout
    assert (photos / "out" / "a-strength-0.5.png").read_bytes() == b"precious"
    assert (photos / "out" / "b-strengths.jpg").read_bytes() == b"precious"
    with Image.open(photos / "out" / "a-png-strengths.jpg") as image:
        assert image.width == 3 * (180 + 8) + 8, "of what there is"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--strength", "0,1", "photos/b.jpg", "one.jpg"), "--strength 0,1: the output one.jpg is a file; expected"),
        (("--strength", "0,1", "photos/b.jpg", "-"), "OUTPUT -: one picture, and --strength asks for 2"),
        (("--strength", "0,1", "--ray", "local", "photos", "out"), "--ray: one strength alone, not 2"),
        (("--strength", "0,0.5,0.50", "photos", "out"), "'0,0.5,0.50': one of them twice; expected each once"),
        (("--strength", "0,1.5", "photos", "out"), "'--strength': 1.5 is not in the range"),
        (("--strength", "0,,1", "photos", "out"), "'' is not a valid share"),
        (("--strength", "0,nan", "photos", "out"), "expected a number from 0 to 1"),
        (("--strength", "0,.1,.2,.3,.4,.5,.6,.7,.8", "photos", "out"), "9 numbers; expected at most 8"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(words: tuple[str, ...], why: str, here: Path) -> None:
    done = nafnet_run(here, *words)
    assert done.returncode == 2
    assert why in done.stderr.decode().splitlines()[-1]
    assert not (here / "out").exists()


def test_eight_strengths_and_their_comparisons(here: Path, identity_onnx: Path) -> None:
    """More files than are encoded at once: none waits for another of its own photograph."""
    words = ["--threads", "1", "--model", identity_onnx, "--compare", "both", "--report", "report.json"]
    run(here, *words, "--strength", "0,.1,.2,.3,.4,.5,.6,1e-7", "photos", "out")
    assert len(list((here / "out").rglob("*-strength-*"))) == 24
    assert (here / "out" / "b-strength-1e-07.jpg").exists()
    assert len(list((here / "both").rglob("*-strength-*-compared.jpg"))) == 24
    report = json.loads((here / "report.json").read_text())
    assert report["settings"]["look"]["strength"] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1e-7]
    assert report["totals"]["restored"] == 24
    assert report["totals"]["tiles"] == sum({file["input"]: file["tiles"] for file in report["files"]}.values())


def test_shards_take_whole_photographs(photos: Path, mixing_onnx: Path) -> None:
    words = ["--threads", "1", "--model", mixing_onnx, "--strength", "0,0.5,1", "photos"]
    run(photos, *words, "expected")
    for index in (1, 2, 3):
        run(photos, *words, "out", "--shard", f"{index}/3")
        made = contents(photos / "out")
        assert len(made) % 4 == 0, "three strengths and a sheet"
    assert made == contents(photos / "expected")


def test_a_dry_run_counts_the_tiles_once(here: Path, identity_onnx: Path) -> None:
    words = ["--threads", "1", "--model", identity_onnx, "--dry-run", "photos", "out"]
    one, three = (run(here, "--strength", each, *words).stdout.decode().splitlines()[-1] for each in ("1", "0,0.5,1"))
    assert one.split(", ")[2] == three.split(", ")[2]
    assert three.startswith("9 files, ")


def test_a_damaged_photograph_fails_in_all_strengths(here: Path, identity_onnx: Path) -> None:
    data = (here / "photos" / "a.png").read_bytes()
    (here / "photos" / "a.png").write_bytes(data[: len(data) // 2])
    done = nafnet_run(
        here, "--threads", "1", "--strict", "--model", identity_onnx, "--strength", "0,1", "photos", "out"
    )
    assert done.returncode == 1
    assert b"4 restored, 2 failed" in done.stdout
    assert b"2 contact sheets -> out" in done.stdout
    assert done.stderr.count(b"failed: ") == 2
    assert not list((here / "out").glob("a*"))
