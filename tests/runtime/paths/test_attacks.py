"""Folders that somebody prepared, or that are not what they look like: nothing is lost, and no run ends of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from nafnet.errors import UsageError
from nafnet.runtime.paths.discovery import Finder
from nafnet.runtime.paths.journal import FOLDER, Journal
from nafnet.runtime.paths.shard import Shard
from nafnet.runtime.paths.work import Request, find_work
from tests.platforms import links, posix_alone
from tests.processes import GUARD
from tests.runtime.conftest import nafnet_run
from tests.runtime.paths.test_journal import opened, record


@posix_alone
def test_a_line_that_the_disk_takes_a_part_of_is_none(tmp_path: Path) -> None:
    """Where room ends in the midst of a line, a write takes a part of it and reports no error."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from nafnet.errors import OutputError\n"
        "from tests.runtime.paths.test_journal import opened, record\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with opened(Path(sys.argv[1])) as journal:\n"
        "    journal.add(record('a.png'))\n"
        "    size = (Path(sys.argv[1]) / '.nafnet-run' / '1-of-1.jsonl').stat().st_size\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, size + 50))\n"
        "    try:\n"
        "        journal.add(record('b.png'))\n"
        "    except OutputError:\n"
        "        sys.exit(7)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "out"], check=False, cwd=Path.cwd())
    assert ended.returncode == 7
    data = (tmp_path / "out" / FOLDER / "1-of-1.jsonl").read_bytes()
    assert [json.loads(line)["output"] for line in data.splitlines()] == ["a.png"]
    assert data.endswith(b"\n")


def test_many_lines_of_one_file_take_no_time(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    lines = (json.dumps({**vars(record()), "time": float(index)}) for index in range(30_000))
    (tmp_path / FOLDER / "2-of-2.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    journal, started = Journal(tmp_path, "k", Shard()), time.process_time()
    journal.reread()
    assert len(journal.of(tmp_path / "a.png")) == 30_000
    assert time.process_time() - started < GUARD


@pytest.mark.parametrize("when", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_time_that_is_none_is_no_record(when: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    line = json.dumps({**vars(record()), "time": 0}).replace('"time": 0', f'"time": {when}')
    (tmp_path / FOLDER / "2-of-2.jsonl").write_text(line + "\n", encoding="utf-8")
    journal = Journal(tmp_path, "k", Shard())
    journal.reread()
    assert journal.of(tmp_path / "a.png") == []


@pytest.mark.parametrize("folder", ["a\\u0000b", "\\ud800"])
def test_a_mark_of_impossible_names_ends_no_run(folder: str, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "run-x.alive").write_text(f'{{"folders": ["{folder}"]}}', encoding="utf-8")
    with opened(tmp_path) as journal:
        journal.add(record())


def test_an_edit_of_the_same_size_and_time_is_kept(here: Path, identity_onnx: Path) -> None:
    common = ("--model", identity_onnx, "photos", "out")
    assert nafnet_run(here, *common).returncode == 0
    result = here / "out" / "a.png"
    times, data = result.stat(), bytearray(result.read_bytes())
    data[-5] ^= 1
    result.write_bytes(data)
    os.utime(result, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = nafnet_run(here, *common, "--tile", "64")  # other settings: it would be made anew
    assert again.returncode == 1
    assert b"a.png is there and was changed since it was written" in again.stderr
    assert result.read_bytes() == data


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    """A folder that is another's by a mount."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "below" / "a.png")
    (tmp_path / "other").mkdir()
    words = ["mount", "--bind", tmp_path / "in", tmp_path / "other"]
    if not shutil.which("mount") or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no folder can be mounted here")
    return tmp_path


@pytest.mark.parametrize("output", ["other", "other/below", "other/below/new"])
def test_a_folder_by_another_name_is_the_same(output: str, twice: Path) -> None:
    try:
        with pytest.raises(UsageError, match="lies inside the input"):
            find_work(Request(inputs=[twice / "in"], output=twice / output))
        with pytest.raises(UsageError, match="would replace the input"):
            find_work(Request(inputs=[twice / "in" / "below" / "a.png"], output=twice / "other" / "below"))
    finally:
        subprocess.run(["umount", twice / "other"], check=True)


def test_results_among_photographs_of_the_same_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x" / "in" / "in").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "x" / "in" / "in" / "b.png")
    with pytest.raises(UsageError, match="lies inside the input"):
        find_work(Request(inputs=[tmp_path / "x" / "in"], output=tmp_path / "x"))


@links
def test_patterns_go_into_no_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").mkdir()
    for folder in ("in", "secret"):
        Image.new("RGB", (8, 8)).save(tmp_path / folder / f"{folder}.png")
    (tmp_path / "in" / "out").symlink_to("../secret")
    for name in ("round", "round-too"):  # two of them are 2^40 paths
        (tmp_path / "in" / name).symlink_to(".")
    for pattern in ("**/*.png", "*/*.png", "*.png"):
        finder = Finder()
        finder.add(tmp_path / "in" / pattern)
        assert {photograph.path.name for photograph in finder.found.photographs} <= {"in.png"}


def test_a_list_may_name_folders(here: Path, identity_onnx: Path) -> None:
    """As `find .` does, whose first line is a point."""
    (here / "list").write_text(".\nphotos/a.png\n..\n", encoding="utf-8")
    for _ in range(2):
        ended = nafnet_run(here, "--model", identity_onnx, "--files-from", "list", "out", "--format", "png")
        assert ended.returncode == 1
        assert b"Traceback" not in ended.stderr
        assert ended.stderr.count(b"not a regular file") == 2
    assert b"1 done before" in ended.stdout
    assert (here / "out" / FOLDER).is_dir()


@pytest.mark.parametrize("listed", [f"{FOLDER}/2-of-2.jsonl.png", f"below/{FOLDER}/a.png"])
def test_no_result_lies_among_the_journals(listed: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="among the journals"):
        find_work(Request(listed=[Path(listed)], output=tmp_path / "out"))


def test_another_programs_json_is_no_report(here: Path, identity_onnx: Path) -> None:
    (here / "my.json").write_text('{\n  "settings": {"editor": 1}}', encoding="utf-8")
    ended = nafnet_run(here, "--model", identity_onnx, "photos", "out", "--report", "my.json")
    assert ended.returncode == 2
    assert b"was not written by --report" in ended.stderr


def test_a_report_is_no_folder_of_results(here: Path, identity_onnx: Path) -> None:
    ended = nafnet_run(here, "--model", identity_onnx, "photos", "out", "--report", "out/below")
    assert ended.returncode == 2
    assert b"is a folder of other results" in ended.stderr


@links
def test_comparisons_are_known_by_every_way_to_the_folder(here: Path, identity_onnx: Path) -> None:
    (here / "real").mkdir()
    (here / "deep").mkdir()
    (here / "deep" / "link").symlink_to("../real")
    common = ("--model", identity_onnx, "photos", "--compare", "pairs")
    assert nafnet_run(here, *common, "deep/link").returncode == 0
    again = nafnet_run(here, *common, "real")
    assert again.returncode == 0, again.stderr
    assert b"3 done before" in again.stdout
    assert b"not compared" not in again.stdout
