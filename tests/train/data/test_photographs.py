"""Clean photographs: found, refused by name, divided, and stored once."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.progress import Progress

from nafnet.errors import DataError
from nafnet.files import exclusive
from nafnet.train.data.clean_store import CleanStore, write_store
from nafnet.train.data.photographs import find_photographs
from nafnet.train.data.splits import held_out
from nafnet.train.processes.distributed import World
from nafnet.train.run.run_data import DataSource, open_data
from tests.train.conftest import small_denoise


def test_a_store_holds_the_pixels_and_is_made_once(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, faults = find_photographs([photographs], 48)
    assert faults == []
    write_store(tmp_path / "store", found, 1, silent)
    written = (tmp_path / "store" / "pixels.bin").stat().st_mtime_ns
    store = pickle.loads(pickle.dumps(CleanStore(tmp_path / "store", [3, 0])))
    assert len(store) == 2
    for number, index in enumerate((3, 0)):
        assert np.array_equal(store[number], np.asarray(Image.open(found.paths[index])))
    write_store(tmp_path / "store", found, 1, silent)
    assert (tmp_path / "store" / "pixels.bin").stat().st_mtime_ns == written


def test_photographs_are_made_smaller_when_asked(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "store", found, 2, silent)
    first = np.asarray(Image.open(found.paths[0])).astype(float)
    expected = first.reshape(first.shape[0] // 2, 2, first.shape[1] // 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(CleanStore(tmp_path / "store")[0], expected, atol=0.51)


def test_a_store_that_has_no_room_is_refused_before_the_work(
    photographs: Path, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    found, _ = find_photographs([photographs], 48)
    with pytest.raises(DataError, match=r"10 photographs take, once decoded, 0\.2 MB, and 0\.0 MB are free"):
        write_store(tmp_path / "store", found, 1, silent)


def test_an_interrupted_store_is_begun_anew(photographs: Path, tmp_path: Path, silent: Progress) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "store", found, 1, silent)
    (tmp_path / "store" / "index.json").unlink()
    (tmp_path / "store" / "pixels.bin").write_bytes(b"half")
    (tmp_path / "store" / ".pixels.bin.0123abcd.partial").write_bytes(b"half")
    write_store(tmp_path / "store", found, 1, silent)
    assert not list((tmp_path / "store").glob("*.partial"))
    assert np.array_equal(CleanStore(tmp_path / "store")[9], np.asarray(Image.open(found.paths[9])))


def test_a_store_that_another_run_makes_is_waited_for(
    photographs: Path, tmp_path: Path, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = find_photographs([photographs], 48)
    write_store(tmp_path / "theirs", found, 1, silent)
    ours = tmp_path / "ours"
    ours.mkdir()

    def done_meanwhile(_: float) -> None:
        for name in ("pixels.bin", "index.json"):
            shutil.copy2(tmp_path / "theirs" / name, ours / name)

    monkeypatch.setattr("time.sleep", done_meanwhile)
    with exclusive(ours / ".lock") as alone:
        assert alone
        write_store(ours, found, 1, silent)
    assert (ours / "pixels.bin").stat().st_mtime_ns == (tmp_path / "theirs" / "pixels.bin").stat().st_mtime_ns


def test_what_is_held_out_follows_from_the_seed() -> None:
    trained, others = held_out(50, 0.1, 3)
    assert sorted([*trained, *others]) == list(range(50))
    assert len(others) == 5
    assert held_out(50, 0.1, 3) == (trained, others)
    assert held_out(50, 0.1, 4) != (trained, others)
    assert [len(part) for part in held_out(2, 0.1, 0)] == [1, 1]
    with pytest.raises(DataError, match="give two at least"):
        held_out(1, 0.1, 0)


def spoiled(folder: Path, kind: str) -> str:
    """Add a picture that cannot be used; returns its name."""
    path = folder / f"{kind}.png"
    made = {
        "alpha": Image.new("RGBA", (64, 64)), "grey": Image.new("L", (64, 64)), "small": Image.new("RGB", (64, 40)),
        "deep": Image.fromarray(np.zeros((64, 64), np.uint16)),
    }  # fmt: skip
    if kind in made:
        made[kind].save(path)
    else:
        path.write_bytes(b"no picture")
    return path.name


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("alpha", "uint8 with 3 channels and alpha; expected 8-bit RGB"),
        ("grey", "uint8 with 1 channels; expected 8-bit RGB"),
        ("deep", "uint16 with 1 channels; expected 8-bit RGB"),
        ("small", "64x40 pixels; expected 48 a side at least"),
        ("damaged", "damaged.png"),
    ],
)
def test_pictures_that_cannot_be_used_are_named(
    kind: str, message: str, photographs: Path, tmp_path: Path, silent: Progress
) -> None:
    name = spoiled(photographs, kind)
    with pytest.raises(DataError, match="--skip-bad") as refused:
        open_data(small_denoise(), DataSource(clean=(photographs,)), tmp_path, silent, World())
    assert name in str(refused.value)
    assert message in str(refused.value)
    source = DataSource(clean=(photographs,), skip_bad=True)
    opened = open_data(small_denoise(), source, tmp_path, silent, World())
    assert len(opened.left_out) == 1
    assert name in opened.left_out[0]


def test_folders_are_walked_and_hidden_files_passed_over(photographs: Path) -> None:
    (photographs / ".thumbnails").mkdir()
    for hidden in (photographs / "._00.png", photographs / ".thumbnails" / "00.png"):
        hidden.write_bytes(b"not a picture")
    found, faults = find_photographs([photographs], 48)
    assert (len(found.names), faults) == (10, [])
    beside = photographs.with_name("beside")
    (photographs / "more").rename(beside)
    both, _ = find_photographs([photographs, beside], 48)
    assert len(both.names) == len(set(both.names)) == 10
    assert both.names[-1].startswith("1/")


def test_a_folder_inside_another_is_not_read_twice(photographs: Path) -> None:
    for folders in ((photographs, photographs / "more"), (photographs, photographs)):
        with pytest.raises(DataError, match="lies in another of the folders"):
            find_photographs(folders, 16)
