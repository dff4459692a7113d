"""nafnet-run as a process: folders, faults, reports, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from nafnet.errors import UsageError
from nafnet.runtime.cli import main
from nafnet.runtime.folder.report import unreadable
from nafnet.runtime.paths.journal import FOLDER
from nafnet.runtime.paths.work import Request, find_work
from tests.begun import begun_run
from tests.platforms import links, names_of_bytes, pipes, posix_alone, signals, slashed
from tests.processes import GUARD, Ended, Hold, in_this_process, running
from tests.runtime.conftest import find_jobs

if TYPE_CHECKING:
    from nafnet.architecture import NAFNet

PROGRAM = Path(sys.executable).with_name("nafnet-run")


def run(*arguments: str | Path, cwd: Path) -> Ended:
    done = begun_run(arguments, cwd)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def results(out: Path) -> list[Path]:
    """The files in an output folder, without the journal."""
    return sorted(path for path in out.rglob("*") if path.is_file() and path.parent.name != FOLDER)


@pytest.fixture
def photos(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """A folder with a good PNG, a good JPEG below, and a file that is no image."""
    folder = tmp_path / "photos"
    (folder / "trip" / "day 1").mkdir(parents=True)
    Image.fromarray(photograph).save(folder / "a.png")
    Image.fromarray(photograph[:50]).save(folder / "trip" / "day 1" / "b.JPG", quality=95)
    (folder / "notes.txt").write_text("passed over", encoding="utf-8")
    return folder


def test_folder_keeps_its_structure_and_the_report_its_promise(photos: Path, identity_onnx: Path) -> None:
    done = run("photos", "out", "--model", identity_onnx, "--report", "report.json", cwd=photos.parent)
    assert done.returncode == 0, done.stderr
    assert "2 restored" in done.stdout
    assert "not verified" in done.stdout, "a model without a spec was never compared with PyTorch"
    out = photos.parent / "out"
    assert {slashed(path.relative_to(out)) for path in results(out)} == {"a.png", "trip/day 1/b.JPG"}
    assert np.array_equal(np.asarray(Image.open(out / "a.png")), np.asarray(Image.open(photos / "a.png")))
    report = json.loads((photos.parent / "report.json").read_text(encoding="utf-8"))
    row = report["files"][0]
    assert set(row) == {
        *("input", "output", "status", "width", "height", "tiles", "flagged", "seconds", "notes", "error"),
        *("frames", "colours"),
    }
    assert (row["status"], row["width"], row["height"], row["tiles"], row["error"]) == ("restored", 180, 120, 1, None)
    assert set(row["seconds"]) == {"decode", "infer", "encode"}
    assert min(row["seconds"].values()) > 0
    assert report["totals"]["restored"] == 2
    assert report["totals"]["megapixels"] == pytest.approx((180 * 120 + 180 * 50) / 1e6)


def test_bad_files_are_one_line_each_and_the_good_go_on(photos: Path, identity_onnx: Path) -> None:
    whole = (photos / "trip" / "day 1" / "b.JPG").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.webp").write_bytes(b"")
    (photos / "text.png").write_text("hello", encoding="utf-8")
    done = run("photos", "out", "--model", identity_onnx, "--quiet", cwd=photos.parent)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for name in ("cut.jpg", "empty.webp", "text.png"):
        assert sum(name in line for line in lines) == 1
        assert not (photos.parent / "out" / name).exists()
    assert (photos.parent / "out" / "a.png").exists()
    assert not list((photos.parent / "out").rglob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("absent", "out"), "no such file or folder"),
        (("empty", "out"), "no images"),
        (("photos", "photos/out"), "inside the input"),
        (("photos/a.png", "photos"), "would replace"),
        (("photos", "photos/a.png/out"), "photos/a.png"),
        (("photos", "out", "--model", "other.pth"), "not a NAFNet"),
        (("photos", "out", "--model", "evil.pth"), "plain text"),
        (("photos", "out", "--model", "classifier.onnx"), "dimensions"),
        (("photos", "out", "--model", "absent.onnx"), "no such file"),
        (("photos", "out", "--backend", "abacus"), "no such backend"),
        (("photos", "out", "--tile", "100"), "multiple of 16"),
        (("photos", "out", "--overlap", "256"), "--overlap"),
        (("photos", "copy", "out"), "both be written"),
        (("photos", "out", "--report", "nowhere/report.json"), "nowhere"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    arguments: tuple[str, ...], reason: str, photos: Path, make_onnx: Callable[..., Path]
) -> None:
    here = photos.parent
    (here / "empty").mkdir()
    (here / "copy").mkdir()
    (here / "copy" / "a.png").write_bytes((photos / "a.png").read_bytes())
    if "other.pth" in arguments:
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.Linear(2, 2).state_dict(), here / "other.pth")
    (here / "evil.pth").write_bytes(b"cposix\nsystem\n(S'touch it-ran'\ntR.")
    make_onnx(helper.make_node("Flatten", ["image"], ["restored"]), name="classifier.onnx", out_shape=("batch", "n"))
    done = in_this_process(main, "nafnet-run", *arguments, cwd=here)  # here PyTorch is loaded
    assert done.returncode == 2, done.stderr
    *progress, said = done.stderr.splitlines()
    assert said.startswith("nafnet-run: ")
    assert reason in said
    assert not any(line.startswith("nafnet-run: ") for line in progress), "how far it is, where the machine is slow"
    assert not (here / "it-ran").exists()
    assert not (here / "out").exists()


def test_checkpoint_is_exported_once(photos: Path, tiny_network: NAFNet, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"params": tiny_network.state_dict()}, photos.parent / "tiny.pth")
    cache = photos.parent / "cache"
    monkeypatch.setenv("NAFNET_CACHE", str(cache))
    times = []
    for out in ("first", "second"):
        done = in_this_process(main, "nafnet-run", "photos", out, "--model", "tiny.pth", cwd=photos.parent)
        assert done.returncode == 0, done.stderr
        assert "fp32, checked against PyTorch" in done.stdout
        (exported,) = cache.rglob("*.onnx")
        times.append(exported.stat().st_mtime_ns)
    assert times[0] == times[1]
    first, second = (np.asarray(Image.open(photos.parent / out / "a.png")) for out in ("first", "second"))
    assert np.array_equal(first, second)
    with torch.inference_mode():
        image = torch.from_numpy(np.asarray(Image.open(photos / "a.png")) / np.float32(255)).permute(2, 0, 1)[None]
        expected = tiny_network(image)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    assert np.abs(first[:100, :160] - expected[:100, :160]).max() < 3, "what differs is the padding's doing"


@signals
def test_ctrl_c_leaves_whole_files_and_a_report(photos: Path) -> None:
    large = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    for index in range(30):
        Image.fromarray(large).save(photos / f"large-{index:02}.png", compress_level=0)
    out = photos.parent / "out"
    hold = Hold(photos.parent / "held", 2, r"large-\d\d\.png$")
    arguments = [PROGRAM, "photos", "out", "--report", "report.json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": hold.environment}
    with running(arguments, cwd=photos.parent, **pipes) as process:
        hold.wait(process)
        process.send_signal(signal.SIGINT)
        hold.release()
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors
    assert b"interrupted" in errors
    written = results(out)
    assert not [path for path in written if path.name.endswith(".partial")]
    for path in written:
        with Image.open(path) as image:
            image.load()
    rows = json.loads((photos.parent / "report.json").read_text(encoding="utf-8"))["files"]
    restored = {row["output"] for row in rows if row["status"] == "restored"}
    assert restored == {str(path.relative_to(photos.parent)) for path in written}
    assert any(row["status"] == "skipped" for row in rows)


def test_onnx_model_needs_no_torch(photos: Path) -> None:
    script = "import sys\nfrom nafnet.runtime.cli import main\ntry: main(['photos', 'out'])\nexcept SystemExit as e: "
    script += "print('EXIT', e.code, 'torch' in sys.modules, 'nafnet.export' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=photos.parent, capture_output=True, text=True, check=True)
    assert "EXIT 0 False False" in done.stdout


@links
def test_links_in_the_output_do_not_lead_out(photos: Path) -> None:
    (photos.parent / "out").mkdir()
    (photos.parent / "elsewhere").mkdir()
    (photos.parent / "out" / "trip").symlink_to(photos.parent / "elsewhere")
    with pytest.raises(UsageError, match="leads out"):
        find_jobs([photos], photos.parent / "out")


def test_one_file_can_be_named(photos: Path) -> None:
    jobs = find_jobs([photos / "a.png"], photos.parent / "b.png")
    assert [(job.source.name, job.target.name) for job in jobs] == [("a.png", "b.png")]
    (job,) = find_jobs([photos / "a.png"], photos.parent / "folder")
    assert job.target == photos.parent / "folder" / "a.png"


@links
def test_links_are_not_followed_and_hidden_files_passed_over(photos: Path) -> None:
    (photos / "round").symlink_to(photos)
    (photos / ".hidden.png").write_bytes(b"")
    assert len(find_jobs([photos], photos.parent / "out")) == 2
    with pytest.raises(UsageError, match="inside"):
        find_jobs([photos], photos / "round" / "out")


@posix_alone
def test_a_closed_terminal_does_not_stop_the_run(photos: Path, identity_onnx: Path) -> None:
    """As in `nafnet-run ... 2>&1 | head -1`: the reader of the messages is gone, the pictures are still restored."""
    for index in range(30):
        (photos / f"bad{index:02d}.png").write_text("hello", encoding="utf-8")
    (photos / "z.png").write_bytes((photos / "a.png").read_bytes())
    done = subprocess.run(
        ["bash", "-c", f"'{PROGRAM}' --quiet photos out --model '{identity_onnx}' 2>&1 | head -1"],
        cwd=photos.parent, capture_output=True, text=True, check=True, timeout=GUARD,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 1
    assert (photos.parent / "out" / "z.png").exists()


def test_no_output_replaces_any_input(tmp_path: Path, photograph: NDArray[np.uint8]) -> None:
    """album/2024/2024/x.png restored from album/2024 to album would land on album/2024/x.png."""
    for folder in ("album/2024", "album/2024/2024"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(photograph).save(tmp_path / folder / "x.png")
    with pytest.raises(UsageError, match="would replace the input"):
        find_jobs([tmp_path / "album" / "2024"], tmp_path / "album")


@pipes
@links
@names_of_bytes
def test_odd_entries_are_one_line_each(photos: Path, identity_onnx: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    (photos / "loop.png").symlink_to("loop.png")
    Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png")).write_bytes((photos / "a.png").read_bytes())
    done = run("photos", "out", "--model", identity_onnx, cwd=photos.parent)
    assert done.returncode == 1, done.stderr
    assert "2 restored, 3 failed" in done.stdout
    for name, reason in (("pipe.png", "not a regular file"), ("loop.png", "cannot be read"), ("caf", "not UTF-8")):
        assert [line for line in done.stderr.splitlines() if name in line and reason in line], done.stderr


def test_unreadable_folder_is_not_passed_over(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not stop the superuser, so the refusal of the system is played."""
    listed = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("trip"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    work = find_work(Request(inputs=[photos], output=photos.parent / "out"))
    assert [job.source.name for job in work.jobs] == ["a.png"], "the others go on"
    (row,) = unreadable(work.found)
    assert (row.status, row.error) == ("failed", f"{photos / 'trip'}: cannot be listed (Permission denied)")


def test_name_of_one_output_says_its_format(photos: Path, identity_onnx: Path) -> None:
    done = run("photos/a.png", "b.jpg", "--model", identity_onnx, cwd=photos.parent)
    assert done.returncode == 0, done.stderr
    with Image.open(photos.parent / "b.jpg") as written:
        assert written.format == "JPEG"
    with pytest.raises(UsageError, match="--format png: the output"):
        find_jobs([photos / "a.png"], photos.parent / "b.jpg", file_format="png")


def test_report_that_cannot_be_written_is_refused_before_the_work(photos: Path, identity_onnx: Path) -> None:
    done = run("photos", "out", "--model", identity_onnx, "--report", "/proc/report.json", cwd=photos.parent)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (photos.parent / "out").exists()
    done = run("photos", "out", "--model", identity_onnx, "--report", "out/report.json", cwd=photos.parent)
    assert done.returncode == 0, done.stderr
