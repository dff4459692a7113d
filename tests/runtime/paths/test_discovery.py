"""What is found of the inputs: each photograph once, in its place, and what is passed over is counted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nafnet.errors import UsageError
from nafnet.runtime.paths.discovery import Finder, passed_over
from nafnet.runtime.paths.filelist import read_list
from nafnet.runtime.paths.shard import Shard
from tests.platforms import WINDOWS, links, with_slashes
from tests.runtime.conftest import find_jobs, nafnet_run


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs, and what else lies in such folders; the current folder is the one it is in."""
    names = [
        "a.png", "b.JPG", "notes.txt", "raw/c.png", "raw/deep/d.png", "trip/a.png", "trip/e_edit.png", ".hidden.png",
        ".cache/f.png", "@eaDir/a.png", "@eaDir/SYNO.jpg", "lost+found/x.png", "movie.mov", "README",
    ]  # fmt: skip
    for name in names:
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return Path("album")


def inside(*inputs: str | Path, exclude: tuple[str, ...] = (), keep_folders: bool = False) -> list[str]:
    """Where the results of inputs go, below the output folder."""
    finder = Finder(exclude, keep_folders=keep_folders)
    for each in inputs:
        finder.add(Path(each))
    return [photograph.inside.as_posix() for photograph in finder.found.photographs]


def test_a_folder_is_walked_and_what_is_passed_over_is_counted(album: Path) -> None:
    finder = Finder()
    finder.add(album)
    assert [photograph.inside.as_posix() for photograph in finder.found.photographs] == [
        "a.png", "b.JPG", "raw/c.png", "raw/deep/d.png", "trip/a.png", "trip/e_edit.png",
    ]  # fmt: skip
    assert finder.found.passed_over == {
        "hidden": 2, "@eaDir": 1, "lost+found": 1, ".txt": 1, ".mov": 1, "without an ending": 1,
    }  # fmt: skip
    assert passed_over(finder.found).startswith("passed over: hidden (2), ")


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("*_edit.png",), ["a.png", "b.JPG", "raw/c.png", "raw/deep/d.png", "trip/a.png"]),
        (("raw",), ["a.png", "b.JPG", "trip/a.png", "trip/e_edit.png"]),
        (("raw/*",), ["a.png", "b.JPG", "trip/a.png", "trip/e_edit.png"]),
        (("trip/a.png", "*.JPG"), ["a.png", "raw/c.png", "raw/deep/d.png", "trip/e_edit.png"]),
    ],
)
def test_what_is_excluded(exclude: tuple[str, ...], left: list[str], album: Path) -> None:
    assert inside(album, exclude=exclude) == left


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize(
    ("named", "found"),
    [
        (["album/*.png"], ["a.png"]),
        (["album/*/a.png"], ["trip/a.png"]),
        (["album/**/*.png"], ["a.png", "raw/c.png", "raw/deep/d.png", "trip/a.png", "trip/e_edit.png"]),
        (["album/r*"], ["raw/c.png", "raw/deep/d.png"]),
        (["album/*.mov"], ["movie.mov"]),
        (["album/**"], ["a.png", "b.JPG", "raw/c.png", "raw/deep/d.png", "trip/a.png", "trip/e_edit.png"]),
        (["album/a.png", "./album/a.png", "album/a.png"], ["a.png"]),
    ],
)
def test_patterns_keep_their_folders_and_nothing_is_found_twice(named: list[str], found: list[str]) -> None:
    assert inside(*named) == found


@pytest.mark.usefixtures("album")
@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("album/trip", ["album/trip/a.png", "album/trip/e_edit.png"]),
        ("album/trip/a.png", ["album/trip/a.png"]),
        ("album/raw/*.png", ["album/raw/c.png"]),
        ("../{here}/album/trip", ["trip/a.png", "trip/e_edit.png"]),
        ("{root}/album/trip/a.png", ["trip/a.png"]),
    ],
)
def test_folders_of_the_inputs_are_kept_where_asked_for(named: str, found: list[str]) -> None:
    here = Path.cwd()
    assert inside(named.format(here=here.name, root=here), keep_folders=True) == found


@links
def test_links_are_followed_only_inside(album: Path, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(b"")
    (album / "out.png").symlink_to(tmp_path / "private.png")
    (album / "in.png").symlink_to("a.png")
    (album / "round").symlink_to(".")
    finder = Finder()
    finder.add(album)
    names = [photograph.inside.name for photograph in finder.found.photographs]
    assert "in.png" in names
    assert "out.png" not in names
    assert finder.found.passed_over["links out of their folder"] == 1
    assert finder.found.passed_over["links to folders"] == 1
    assert inside(album / "out.png") == ["out.png"], "named outright it is what was asked for"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa.png\r\nb.png\r\na.png\r\n", "a.png\r\nb.png\r\n".encode("utf-16"), b"a.png\0b.png\0a.png\0",
        b"a.png\n\nb.png", "\ufeffa.png\r\nb.png\r\n".encode("utf-16-be"),
    ],
)  # fmt: skip
def test_lists_as_programs_write_them(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(data)
    jobs = find_jobs([], tmp_path / "out", listed=read_list(str(tmp_path / "list")))
    assert [job.source.name for job in jobs] == ["a.png", "b.png"]


def test_a_list_in_a_code_page(tmp_path: Path) -> None:
    """As `dir /b` writes it; elsewhere than on Windows any bytes may be a name."""
    (tmp_path / "list").write_bytes(b"a.png\r\ncaf\xe9.png\r\n")
    if WINDOWS:
        with pytest.raises(UsageError, match=r"caf\\xe9\.png' is not UTF-8; write the list as UTF-8 or UTF-16"):
            read_list(str(tmp_path / "list"))
    else:
        assert [os.fsencode(path) for path in read_list(str(tmp_path / "list"))] == [b"a.png", b"caf\xe9.png"]


REFUSING = """
import os
listed = os.scandir
def scandir(path):
    if str(path).endswith("below"):
        raise PermissionError(13, "Permission denied", str(path))
    return listed(path)
os.scandir = scandir
from nafnet.runtime.cli import main
main()
"""


def test_an_unreadable_folder_is_a_failed_line_and_the_rest_goes_on(here: Path, identity_onnx: Path) -> None:
    """Permissions do not stop the superuser, so the refusal of the system is played."""
    words = ("--model", identity_onnx, "--report", "r.json", "photos", "out")
    done = nafnet_run(here, *words, program=REFUSING)
    assert done.returncode == 1, done.stderr
    assert b"failed: photos/below: cannot be listed (Permission denied)" in with_slashes(done.stderr)
    assert b"2 restored, 1 failed" in done.stdout
    (row,) = [row for row in json.loads((here / "r.json").read_text(encoding="utf-8"))["files"] if row["error"]]
    assert Path(row["input"]) == Path("photos/below")


def test_one_look_at_the_disk_for_each_folder(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    realpath = os.path.realpath

    def watched(path: str | Path) -> str:
        looked.append(str(path))
        return realpath(path)

    monkeypatch.setattr(os.path, "realpath", watched)
    for index in range(500):
        (album / f"{index:03}.png").write_bytes(b"")
    assert len(find_jobs([album], Path("out"))) == 506
    assert len(looked) < 30, "folders, not files"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "-1/4"])
def test_wrong_shards_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="I/N"):
        Shard.parse(text)
