"""Pairs of one scene stay together: by SIDD's numbers, by clips, by a pattern, or by what names let guess."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from nafnet.errors import DataError
from tests.train.conftest import TINY, trained_here

MADE = runpy.run_path(str(Path(__file__).parents[1] / "make_data.py"))
LAYOUTS, scenes, save = (MADE[name] for name in ("LAYOUTS", "scenes", "save"))
PAIR = MADE["noise"](16, 16)
CROPS = [f"{source:04}_s{crop:03}" for source in range(1, 11) for crop in range(4)]


def two_folders(root: Path, names: list[str], *parts: str) -> Path:
    """Pairs of these names in noisy/ and clean/, in each of the folders `parts`."""
    for part in parts or (".",):
        for number, name in enumerate(names):
            save(PAIR(number), root / part / "noisy" / f"{name}.png", root / part / "clean" / f"{name}.png")
    return root


def trained(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[dict, str]:
    """What a run of one step on `data` wrote down of it, and what was said."""
    monkeypatch.setenv("NAFNET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    done = trained_here(tmp_path / "tiny.toml", "--data", data, "--steps=1", "-o", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["data"], done.stdout


def parted(record: dict, scene_of: slice) -> list[set[str]]:
    """The scenes of each part of a run, cut out of its pairs' names."""
    return [{name[scene_of] for name in part["names"]} for part in record["parts"].values()]


def assert_apart(homes: list[set[str]], count: int) -> None:
    assert len(homes) == 3
    assert sum(map(len, homes)) == len(set.union(*homes)) == count


def test_sidds_scenes_are_the_numbers_in_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """160 instances, as the data set has them: a folder 0010_001_... is of scene 001, as are 0001_001_... to 0016."""
    scenes(tmp_path / "sidd", PAIR, 320, instances=16)
    record, _ = trained(tmp_path / "sidd", tmp_path, monkeypatch)
    assert_apart(parted(record, slice(5, 8)), 10)
    assert [part["pairs"] for part in record["parts"].values()] == [256, 32, 32]
    assert record["grouped"]["by"] == "the scene's number in SIDD's names"
    assert {part: set(of) for part, of in record["grouped"]["scenes"].items()} == dict(
        zip(record["parts"], parted(record, slice(5, 8)), strict=True)
    )


def test_crops_stay_with_their_source_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, said = trained(two_folders(tmp_path / "crops", CROPS), tmp_path, monkeypatch)
    assert_apart(parted(record, slice(0, 4)), 10)
    assert "SCENES ARE GUESSED from names: 40 pairs of 10 scenes, by what stands before a crop's number" in said
    assert record["grouped"]["guessed"]


@pytest.mark.parametrize(
    ("names", "count", "scene"),
    [
        ([f"GOPR0372_07_{clip:02}-{frame:06}" for clip in range(5) for frame in range(4)], 5, slice(0, 14)),
        ([f"GOPR0372_07_{clip:02}-{frame:06}_s001" for clip in range(5) for frame in range(4)], 5, slice(0, 14)),
        ([f"{clip}_{frame:04}" for clip in ("car", "dog", "ice", "sea") for frame in range(5)], 4, slice(0, 3)),
        ([f"clip_{clip}_{frame:04}" for clip in range(4) for frame in range(5)], 4, slice(0, 6)),
        ([f"a{clip}_0{frame}_s{crop:03}" for clip in range(4) for frame in range(3) for crop in (0, 1)], 4, slice(2)),
        ([f"a{n}_x{x}_y{y}" for n in range(4) for x in (0, 64) for y in (0, 64)], 4, slice(0, 2)),
        (
            [f"{3 * s + n:04}_{s:03}_GP_00800_00350_3200_N_{p:03}" for s in range(4) for n in range(3) for p in (0, 1)],
            4,
            slice(5, 8),
        ),
    ],
)  # fmt: skip
def test_frames_stay_with_their_clip(
    names: list[str], count: int, scene: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, said = trained(two_folders(tmp_path / "frames", names), tmp_path, monkeypatch)
    assert_apart(parted(record, scene), count)
    assert f"{len(names)} pairs of {count} scenes" in said


@pytest.mark.parametrize(
    "names",
    [
        [f"{number:04}" for number in range(20)],
        [f"IMG_{number:04}" for number in range(10)] + [f"DSC0{number:04}" for number in range(10)],
        ["beach", "dunes", "forest", "harbour", "lake"],
    ],
)
def test_pictures_by_themselves_are_taken_for_that(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, said = trained(two_folders(tmp_path / "pictures", names), tmp_path, monkeypatch)
    assert record["grouped"] == {
        "by": "nothing: each pair by itself", "guessed": False, "scenes": {part: [] for part in record["parts"]}
    }  # fmt: skip
    assert "GUESSED" not in said
    assert "begin with" not in said


def test_names_of_one_stem_are_no_scene_but_it_is_said(tmp_path: Path) -> None:
    said = trained_here("data", two_folders(tmp_path, [f"video_{number:03}" for number in range(10)])).stdout
    assert "all 10 names begin with video: taken for pictures of as many scenes" in said


def test_a_pattern_says_what_a_scene_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{frame}of{clip}" for clip in "abcdef" for frame in range(4)]
    data = two_folders(tmp_path / "own", names)
    record, said = trained(data, tmp_path, monkeypatch, "--set", r"split.scene=of(\w)$")
    assert_apart(parted(record, slice(-1, None)), 6)
    assert record["grouped"]["by"] == r"scene = 'of(\\w)$'"
    assert "GUESSED" not in said
    again = trained_here(tmp_path / "run" / "recipe.toml", "--data", data, "-o", tmp_path / "again", "--steps=1")
    assert again.returncode == 0, again.stderr
    apart = trained_here("data", two_folders(tmp_path / "crops", CROPS), "--set", "split.scene=(.*)").stdout
    assert "GUESSED" not in apart
    assert "│ 32    │ 32 " in apart, "pairs, and as many scenes"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("([", "split] scene = '(['; not a regular expression"),
        (r"^\d+", "has 0 groups, expected one in parentheses"),
        (r"^(\d)(\d)", "has 2 groups, expected one"),
        ("^(q)", "matches none of 40 names, and not 0001_s000"),
        ("^(0001)", "matches 4 of 40 names, and not 0002_s000"),
    ],
)
def test_patterns_that_are_wrong_are_refused_in_a_line(pattern: str, words: str, tmp_path: Path) -> None:
    done = trained_here("data", two_folders(tmp_path, CROPS), "--set", f"split.scene={pattern}")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_parts_that_share_stems_are_refused_unless_told(tmp_path: Path) -> None:
    two_folders(tmp_path, CROPS[::2], "train")
    two_folders(tmp_path, CROPS[1::2], "val")
    done = trained_here("data", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "train and validation share 10 scenes" in done.stderr
    assert "such as 0001 (train 0001_s002, validation 0001_s003)" in done.stderr
    assert trained_here("data", tmp_path, "--set=split.shared_scenes=true").returncode == 0


def test_a_test_is_halved_by_clips_unless_told(tmp_path: Path) -> None:
    for number in range(40):
        part, clip = ("train", 0) if number < 16 else ("test", number // 4)
        home = tmp_path / part / f"GOPR{clip:04}_11_00"
        save(PAIR(number), home / "blur" / f"{number:06}.png", home / "sharp" / f"{number:06}.png")
    said = trained_here("data", tmp_path).stdout
    listed = [line for line in said.splitlines() if line.startswith(("  validation:", "  test:"))]
    clips = [set(line.partition(": ")[2].split(", ")) for line in listed]
    assert [len(each) for each in clips] == [3, 3]
    assert not clips[0] & clips[1]
    assert "grouped by the clip's folder" in said
    told = trained_here("data", tmp_path, "--set=split.shared_scenes=true").stdout
    assert "grouped by nothing: each pair by itself" in told


def test_too_few_scenes_are_said(tmp_path: Path) -> None:
    said = trained_here("data", two_folders(tmp_path, CROPS[:8])).stdout
    assert "2 scenes, too few to hold one out: no validation" in said


def test_the_study_parts_frame_by_frame() -> None:
    from nafnet.train.recipes.recipe_files import load_recipe

    assert load_recipe("study/sliding-256").split.shared_scenes
    assert not load_recipe("upstream/gopro-width32").split.shared_scenes


def test_guesses_do_not_depend_on_the_order_of_names() -> None:
    from nafnet.train.data.scenes import guessed

    names = [f"a{clip}_{frame:04}" for clip in range(5) for frame in range(4)]
    shuffled = [names[index] for index in np.random.default_rng(0).permutation(len(names))]
    assert guessed(names) == guessed(shuffled)


def test_a_pattern_must_match_as_the_names_are_shown(tmp_path: Path) -> None:
    scenes(tmp_path, PAIR, 12)
    done = trained_here("data", tmp_path, "--set", r"split.scene=^(\d{4})_")
    assert done.returncode == 0, done.stderr
    assert "0001" in done.stdout.partition("grouped by")[2]


def test_divide_refuses_in_words() -> None:
    from nafnet.train.data.scenes import scene_rule
    from nafnet.train.recipes.data_tables import SplitConfig

    with pytest.raises(DataError, match="choose a pattern that matches all"):
        scene_rule(["a", "b"], SplitConfig(scene="(a)"), None)
