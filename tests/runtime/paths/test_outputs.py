"""What a run may write: never over an input, never over somebody else's file, never two results in one place."""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from nafnet.errors import ImageError, UsageError
from nafnet.files import place_new, temporary_beside
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.outputs import Identity, Outputs
from tests.platforms import folding as folding_alone
from tests.platforms import links, permissions, with_slashes
from tests.processes import Hold, running
from tests.runtime.conftest import PROGRAM, find_jobs, nafnet_run

FOLDING = Path(__file__).parents[2] / "folding"


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 16), colour).save(path)
    return path


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Two cameras' folders with a file of one name, and what each result must look like."""
    picture(tmp_path / "day1" / "DSC_0001.png", "red")
    picture(tmp_path / "day2" / "DSC_0001.png", "blue")
    return tmp_path


def colour_of(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((0, 0))  # type: ignore[return-value]


class TestTwoPhotographsOfOneName:
    """Nothing is overwritten, whatever way they come, and each way says what to do."""

    def test_one_command(self, days: Path, identity_onnx: Path) -> None:
        done = nafnet_run(days, "--model", identity_onnx, "day1", "day2", "out")
        assert done.returncode == 2
        assert b"would both be written to out/DSC_0001.png; rename one, or use --keep-folders" in with_slashes(
            done.stderr
        )
        assert not (days / "out").exists()
        kept = nafnet_run(days, "--model", identity_onnx, "--keep-folders", "day1", "day2", "out")
        assert kept.returncode == 0, kept.stderr
        assert colour_of(days / "out" / "day1" / "DSC_0001.png") == (255, 0, 0)
        assert colour_of(days / "out" / "day2" / "DSC_0001.png") == (0, 0, 255)

    @pytest.mark.parametrize("way", ["commands", "lists", "shards"])
    def test_two_commands(self, way: str, days: Path, identity_onnx: Path) -> None:
        def once(day: str) -> subprocess.CompletedProcess[bytes]:
            words = ["--model", identity_onnx, "--quiet"]
            if way == "lists":
                listed = str(days / day / "DSC_0001.png").encode()  # absolute ones go straight into the output
                return nafnet_run(days, *words, "--files-from", "-", "out", given=listed)
            return nafnet_run(days, *words, *(["--shard", "1/1"] if way == "shards" else []), day, "out")

        assert once("day1").returncode == 0
        second = once("day2")
        assert second.returncode == 1
        (line,) = second.stderr.decode().splitlines()
        assert "DSC_0001.png is there and was restored from another photograph" in line
        assert str(days / "day1" / "DSC_0001.png") in line
        assert "--keep-folders" in line
        assert colour_of(days / "out" / "DSC_0001.png") == (255, 0, 0), "the first is as it was"
        assert once("day1").returncode == 0


def test_an_edited_result_is_kept_and_a_copied_folder_is_done(days: Path, identity_onnx: Path) -> None:
    words = ("--model", identity_onnx, "day1")
    assert nafnet_run(days, *words, "out").returncode == 0
    shutil.copytree(days / "out", days / "copy", copy_function=shutil.copyfile)  # as a copy to another disk: new times
    assert b"nothing restored, 1 done before" in nafnet_run(days, *words, "copy").stdout
    picture(days / "out" / "DSC_0001.png", "green")
    for more in ((), ("--tile", "64")):
        edited = nafnet_run(days, *words, "out", *more)
        assert edited.returncode == 1
        assert b"DSC_0001.png is there and was changed since it was written" in edited.stderr
        assert colour_of(days / "out" / "DSC_0001.png") == (0, 128, 0)
    assert nafnet_run(days, *words, "out", "--overwrite").returncode == 0
    assert colour_of(days / "out" / "DSC_0001.png") == (255, 0, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.png", "b.png"), "b.png is there and was not written from here"),
        (("a.png", "b.png", "c.png"), "c.png: OUTPUT ends as a picture does, and there is more than one INPUT"),
        (("--report", "a.png", "b.png", "out"), "--report a.png: is there and was not written by --report"),
        (("--html", "a.png", "b.png", "out"), "--html a.png: is there and was not written by --html"),
        (("--report", "out/a.png", "a.png", "out"), "--report out/a.png would replace a.png: its output out/a.png"),
        (("--compare", ".", "a.png", "out"), "would lie beside the photographs"),
        (("a.png", "./a.png"), "a.png: its output a.png would replace the input a.png"),
        (("a.png", "a.heic"), "a.heic: .heic is not written"),
        (("a.png", "b.png", "x.jxl"), "x.jxl: OUTPUT ends as a picture does"),
    ],
)
def test_a_forgotten_name_costs_no_picture(
    words: tuple[str, ...], said: str, tmp_path: Path, identity_onnx: Path
) -> None:
    names = [
        picture(tmp_path / name, colour) for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c.png", "green"))
    ]
    before = {path: path.read_bytes() for path in names}
    done = nafnet_run(tmp_path, "--model", identity_onnx, "--quiet", *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr.decode()
    assert {path: path.read_bytes() for path in names} == before


def test_reports_and_pages_replace_their_like(days: Path, identity_onnx: Path) -> None:
    words = ("--model", identity_onnx, "--report", "r.json", "--html", "p.html", "day1", "out")
    assert nafnet_run(days, *words).returncode == 0
    first = (days / "r.json").read_bytes()
    assert nafnet_run(days, *words).returncode == 0
    assert (days / "r.json").read_bytes() != first
    kept = (days / "r.json").read_bytes()
    refused = nafnet_run(days, *words, "--shard", "9/4")
    assert refused.returncode == 2
    assert (days / "r.json").read_bytes() == kept, "a run that does not begin reports nothing"


def folding(root: Path, *, links: bool = True) -> dict[str, str]:
    """The environment of a process for which a folder is on such a disk."""
    extra = {} if links else {"FOLD_NO_LINKS": "1"}
    return {**os.environ, "PYTHONPATH": str(FOLDING), "FOLD_ROOT": str(root), **extra}


def run_folding(root: Path, *words: str | Path, links: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**folding(root, links=links), "NAFNET_CACHE": str(root.parent / "cache")}
    return subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False, env=environment)


@folding_alone
@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("Photos/IMG.png", "Photos/img.png"),
        ("Photos/IMG.png", "photos/IMG.png"),
        (unicodedata.normalize("NFC", "café.png"), unicodedata.normalize("NFD", "café.png")),
    ],
)
def test_an_original_is_not_replaced_under_its_name_in_other_letters(
    source: str, result: str, tmp_path: Path, identity_onnx: Path
) -> None:
    disk = tmp_path / "disk"
    picture(disk / source, "red")
    before = (disk / source).read_bytes()
    done = run_folding(disk, "--model", identity_onnx, "--overwrite", disk / source, disk / result)
    assert done.returncode == 2, done.stderr
    assert "would replace the input" in done.stderr
    assert (disk / source).read_bytes() == before


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_1.png", "img_1.png"),
        (unicodedata.normalize("NFC", "café.png"), unicodedata.normalize("NFD", "café.png")),
        ("Trip/a.png", "trip/A.png"),
    ],
)
def test_names_that_the_disk_takes_for_one(names: tuple[str, str], tmp_path: Path, identity_onnx: Path) -> None:
    for name, colour in zip(names, ("red", "blue"), strict=True):
        picture(tmp_path / "in" / name, colour)
    out = tmp_path / "out"
    done = run_folding(out, "--model", identity_onnx, tmp_path / "in", out)
    assert done.returncode == 2
    assert "for one file; rename one" in done.stderr
    assert not [path for path in out.rglob("*") if path.is_file()]
    # Where the disk tells them apart they are two, and the same check lets them through.
    apart = nafnet_run(tmp_path, "--model", identity_onnx, "in", "apart")
    assert apart.returncode == 0, apart.stderr
    assert [colour_of(tmp_path / "apart" / name) for name in names] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize("links", [True, False])
def test_a_strangers_file_of_another_case(links: bool, tmp_path: Path, identity_onnx: Path) -> None:
    picture(tmp_path / "in" / "img_1.png", "red")
    picture(tmp_path / "in" / "other.png", "red")
    stranger = picture(tmp_path / "out" / "IMG_1.png", "green")
    done = run_folding(tmp_path / "out", "--model", identity_onnx, tmp_path / "in", tmp_path / "out", links=links)
    assert done.returncode == 1
    assert "img_1.png is there and was not written from here" in done.stderr
    assert colour_of(stranger) == (0, 128, 0)
    assert colour_of(tmp_path / "out" / "other.png") == (255, 0, 0)


def test_a_file_that_comes_meanwhile_is_left(days: Path, identity_onnx: Path) -> None:
    """Between the decision and the rename somebody puts a file there: the run is held at that very moment."""
    hold = Hold(days / "held", 1, r"/out/DSC_0001\.png$")
    words = [PROGRAM, "--model", identity_onnx, "--quiet", days / "day1", days / "out"]
    with running(words, env=hold.environment, stderr=subprocess.PIPE) as process:
        hold.wait(process)
        stranger = picture(days / "out" / "DSC_0001.png", "green")
        hold.release()
        _, errors = process.communicate()
    assert process.returncode == 1
    assert b"another program wrote it meanwhile" in errors
    assert colour_of(stranger) == (0, 128, 0)
    assert b"was changed since" in nafnet_run(days, "--model", identity_onnx, "day1", "out").stderr


def test_a_replaced_file_is_the_one_that_was_judged(tmp_path: Path) -> None:
    target, temporary = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", "blue")
    judged = Identity.of(target)
    picture(target, "green")
    os.utime(target, ns=(0, 0))
    with pytest.raises(ImageError, match="another program wrote it meanwhile"):
        Outputs(folder=tmp_path).place(temporary, target, judged)
    Outputs(folder=tmp_path).place(temporary, target, Identity.of(target))
    assert colour_of(target) == (0, 0, 255)


@links
def test_a_folder_that_becomes_a_link_is_seen_at_the_rename(tmp_path: Path, identity_onnx: Path) -> None:
    source = picture(tmp_path / "in" / "below" / "a.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "below").symlink_to(tmp_path / "elsewhere")
    job = Job(source=source, target=tmp_path / "out" / "below" / "a.png")
    with Restorer.load(identity_onnx, tile=32, overlap=0) as restorer:
        (row,) = Pipeline(restorer, [job], outputs=Outputs(folder=tmp_path / "out")).run()
    assert "leads out of the output folder" in (row.error or "")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_without_links_a_name_is_taken_before_it_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links")))
    temporary = picture(tmp_path / "t.png", "blue")
    place_new(temporary, tmp_path / "a.png")
    assert colour_of(tmp_path / "a.png") == (0, 0, 255)
    assert not temporary.exists()
    with pytest.raises(FileExistsError):
        place_new(picture(tmp_path / "t.png"), tmp_path / "a.png")


def test_a_name_that_was_taken_and_not_filled_is_done_again(days: Path, identity_onnx: Path) -> None:
    words = ("--model", identity_onnx, "day1", "out")
    assert nafnet_run(days, *words).returncode == 0
    (days / "out" / "DSC_0001.png").write_bytes(b"")
    done = nafnet_run(days, *words)
    assert done.returncode == 0, done.stderr
    assert colour_of(days / "out" / "DSC_0001.png") == (255, 0, 0)


@pytest.mark.parametrize("name", ["😀" * 60 + ".png", "x" * 251 + ".png"])
def test_long_names(name: str, tmp_path: Path, identity_onnx: Path) -> None:
    picture(tmp_path / "in" / name)
    done = nafnet_run(tmp_path, "--model", identity_onnx, "--compare", "both", "in", "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / name).exists()
    assert len(list((tmp_path / "both").iterdir())) == 1
    assert len(os.fsencode(temporary_beside(tmp_path / name, "run-0123456789ab-", ".raw").name)) <= 255


@permissions
def test_results_are_as_private_as_their_photographs(days: Path, identity_onnx: Path) -> None:
    (days / "day1" / "DSC_0001.png").chmod(0o600)
    assert nafnet_run(days, "--model", identity_onnx, "--compare", "both", "day1", "out").returncode == 0
    for path in (days / "out" / "DSC_0001.png", days / "both" / "DSC_0001-png-compared.jpg"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert nafnet_run(days, "--model", identity_onnx, "day2", "open").returncode == 0
    umask = os.umask(0)
    os.umask(umask)
    assert (days / "open" / "DSC_0001.png").stat().st_mode & 0o777 == 0o644 & ~umask


def test_an_output_that_is_no_text_is_refused_before_the_work(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="its name is not UTF-8"):
        find_jobs([source], Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
