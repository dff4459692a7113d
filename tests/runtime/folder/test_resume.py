"""Runs that are cut short, split over shards or lost by a worker: together they do everything once."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nafnet.runtime.paths.journal import FOLDER
from tests.begun import begun_run
from tests.platforms import ON_WINE, WINDOWS, moving_open, signals, slashed
from tests.processes import GUARD, Ended, Hold, running, wait_until

PROGRAM = Path(sys.executable).with_name("nafnet-run")
Words = list[str | Path]
COUNT, KILLS = (12, 2) if ON_WINE else (40, 5)  # there a run takes seconds to start
RESULT = r"/out/.*\.(png|jpg)$"
"""Where results are renamed to."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures of many sizes, in two formats, two of them the same."""
    folder = tmp_path_factory.mktemp("resume") / "in"
    (folder / "below").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(COUNT - 1):
        height, width = generator.integers(60, 260, 2)
        picture = generator.integers(0, 255, (height, width, 3), np.uint8)
        name = f"{'below/' if index % 4 == 0 else ''}{index:02}.{'jpg' if index % 3 else 'png'}"
        Image.fromarray(picture).save(folder / name)
    shutil.copy(folder / "01.jpg", folder / "same.jpg")
    return folder


@pytest.fixture(scope="module")
def common(mixing_onnx: Path) -> Words:
    """What every run is given."""
    return ["--threads", "1", "--model", mixing_onnx]


@pytest.fixture(scope="module")
def expected(common: Words, photos: Path) -> dict[str, bytes]:
    """The results of a run that nothing disturbed, by name."""
    done = run(common, photos, photos.parent / "expected")
    assert done.returncode == 0, done.stderr
    return contents(photos.parent / "expected")


def run(common: Words, *arguments: str | Path) -> Ended:
    done = begun_run([*common, *arguments], Path.cwd())
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the journal, by its path; temporary files, too."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != FOLDER)
    return {slashed(path.relative_to(folder)): path.read_bytes() for path in files}


def entries(folder: Path) -> list[dict[str, object]]:
    """The journal's lines, of all its files; a torn one is passed over."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def restored(folder: Path) -> list[object]:
    return [entry["output"] for entry in entries(folder) if entry["event"] == "restored"]


def test_killed_again_and_again_it_does_everything_once(
    common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out, chance = tmp_path / "out", random.Random(0)
    for kill in range(KILLS):
        before = len(restored(out)) if out.exists() else 0
        held = Hold(tmp_path / f"held-{kill}", COUNT // (KILLS + 1), RESULT)  # at the latest it is killed there
        with running([PROGRAM, *common, "--quiet", photos, out], env=held.environment) as process:
            # At some moment after it began to write, so that each run comes further.
            wait_until(lambda before=before: out.exists() and len(restored(out)) > before, process)  # type: ignore[misc]
            time.sleep(chance.random() * 0.15)
            process.kill()
            process.wait(GUARD)
    done = run(common, photos, out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == expected, "no temporary file is left, and every result is the undisturbed run's"
    assert len(restored(out)) <= COUNT + KILLS, "one file at most was done twice for each kill"


def test_second_run_does_nothing(common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(common, photos, out).returncode == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    done = run(common, photos, out)
    assert f"nothing restored, {COUNT} done before" in done.stdout
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert contents(out) == expected


def test_what_changed_is_done_anew(common: Words, photos: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(photos, folder)
    assert run(common, folder, out).returncode == 0
    shutil.copy(folder / "03.png", folder / "06.png")  # another content
    (out / "01.jpg").unlink()  # a result that is gone
    assert f"2 restored, {COUNT - 2} done before" in run(common, folder, out).stdout
    assert (out / "06.png").read_bytes() == (out / "03.png").read_bytes()
    assert f"{COUNT} restored in" in run(common, folder, out, "--tile", "128").stdout, "another setting"
    assert f"{COUNT} restored in" in run(common, folder, out, "--tile", "128", "--overwrite").stdout


def test_files_of_others_are_not_replaced(common: Words, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "01.jpg").write_bytes(b"precious")
    done = run(common, photos, out, "--quiet")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "01.jpg is there and was not written from here" in done.stderr
    assert (out / "01.jpg").read_bytes() == b"precious"
    assert run(common, photos, out, "--quiet", "--overwrite").returncode == 0
    assert (out / "01.jpg").read_bytes() != b"precious"


def test_shards_are_one_run_together(common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [PROGRAM, *common, "--quiet", photos, out, "--shard"]
    with contextlib.ExitStack() as stack:
        shards = [stack.enter_context(running([*command, f"{index}/3"])) for index in (1, 2, 3)]
        assert [shard.wait(GUARD) for shard in shards] == [0, 0, 0]
    assert contents(out) == expected
    assert sorted(map(str, restored(out))) == sorted(expected), "each file was restored by one of them"
    assert f"nothing restored, {COUNT} done before" in run(common, photos, out).stdout, "their journals count for all"


@contextlib.contextmanager
def held_run(common: Words, photos: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Hold]]:
    """A run into tmp_path/out that has written some results and is stopped right before the next one's rename."""
    hold = Hold(tmp_path / "held", 4, RESULT)
    words = [PROGRAM, *common, "--quiet", photos, tmp_path / "out"]
    with running(words, stderr=subprocess.PIPE, env=hold.environment) as process:
        hold.wait(process)
        yield process, hold


def test_two_runs_do_not_write_the_same_folder(common: Words, photos: Path, tmp_path: Path) -> None:
    with held_run(common, photos, tmp_path) as (first, hold):
        second = run(common, photos, tmp_path / "out")
        hold.release()
        _, errors = first.communicate(timeout=GUARD)
    assert first.returncode == 0, errors
    assert second.returncode == 2
    assert "another run is writing here" in second.stderr


@signals
def test_terminated_it_ends_as_interrupted(
    common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with held_run(common, photos, tmp_path) as (process, hold):
        process.terminate()
        hold.release()
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1
    assert b"interrupted" in errors
    assert not list(out.rglob("*.partial"))
    assert run(common, photos, out).returncode == 0
    assert contents(out) == expected


@moving_open
def test_output_folder_removed_in_the_middle_is_a_clear_end(
    common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with held_run(common, photos, tmp_path) as (process, hold):
        out.rename(tmp_path / "gone")
        hold.release()
        _, errors = process.communicate(timeout=GUARD)
    assert process.returncode == 2, errors
    assert b"the folder is gone" in errors.splitlines()[-1]
    assert b"Traceback" not in errors
    (tmp_path / "gone").rename(out)
    assert run(common, photos, out).returncode == 0
    assert contents(out) == expected


@pytest.mark.skipif(WINDOWS or os.geteuid() != 0, reason="mounting a small disk takes Linux' superuser")
def test_full_disk_is_a_clear_end(common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    room = sum(map(len, expected.values())) // 2 // 4096 * 4096  # for about half of what will be written
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", out], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = run(common, photos, out, "--quiet")
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert not list(out.rglob("*.partial"))
        assert all(expected[name] == data for name, data in contents(out).items())
        subprocess.run(["mount", "-o", "remount,size=64m", out], check=True)
        assert run(common, photos, out).returncode == 0
        assert contents(out) == expected
    finally:
        subprocess.run(["umount", out], check=True)


def test_ray_gives_the_same_bytes_also_when_it_loses_a_worker(
    common: Words, photos: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "out"
    command = [PROGRAM, *common, "--ray", "local", "--report", tmp_path / "report.json", photos, out]
    hold = Hold(tmp_path / "held", 3, RESULT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with running(command, env=hold.environment, **pipes) as process:
        worker = hold.wait(process)
        assert worker != process.pid
        os.kill(worker, signal.SIGKILL)
        output, _ = process.communicate(timeout=GUARD)
    assert process.returncode == 0, output
    # What the lost worker was writing stays beside the results until a run comes that finds its journal free.
    whole = {name: data for name, data in contents(out).items() if not name.endswith(".partial")}
    assert whole == expected
    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["files"]
    assert {row["status"] for row in rows} <= {"restored", "unchanged"}
    assert len(rows) == COUNT
    assert run(common, photos, out).returncode == 0
    assert contents(out) == expected
