"""Earlier results, read to be compared with: several are one baseline, and none that is broken or of elsewhere is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nafnet.benchmarks.verdict.baseline import Baseline, Key, read_baseline
from nafnet.errors import UsageError

from .timed import SECONDS, case_of, seconds_of

KEY = Key("1", 64, 1)


def read(
    result: Any, folder: Path, settings: Any = None, machine: Any = None, keys: Sequence[Key] = (KEY,), files: int = 1
) -> Baseline:
    """Write it, as often as asked for, and read it as the baseline of a run that is like it but for what is given."""
    paths = [folder / f"old{number or ''}.json" for number in range(files)]
    for path in paths:
        path.write_text(json.dumps(result), encoding="utf-8")
    like, where = {"threads": 2, "norm": "conv", "malloc": "keep"}, {"processor": "One", "gpu": None}
    return read_baseline([*paths, *paths], {**like, **(settings or {})}, {**where, **(machine or {})}, keys)


def test_several_files_are_one_baseline(result: Any, tmp_path: Path) -> None:
    assert read(result, tmp_path, files=1) == {KEY: [case_of(result)]}, "a file that is named twice counts once"
    assert read(result, tmp_path, files=2) == {KEY: [case_of(result)] * 2}
    assert read(result, tmp_path, files=0) == {}


@pytest.mark.parametrize("wrong", [[float("nan")], [0.1, 0.0], [-1.0], [float("inf")], [], ["0.1"], None, SECONDS[1:]])
def test_a_baseline_of_impossible_times_is_refused_before_anything_is_measured(
    result: Any, wrong: Any, tmp_path: Path
) -> None:
    case_of(result)["rows"][1]["speed"]["seconds"] = wrong
    with pytest.raises(UsageError, match=r"old.json: not a whole result of nafnet-bench \(.*measure anew$"):
        read(result, tmp_path)


@pytest.mark.parametrize("lost", ["settings", "machine", "cases", "weights_sha256", "tile", "rows", "copy", "backend"])
def test_a_baseline_that_lacks_a_part_is_refused(result: Any, lost: str, tmp_path: Path) -> None:
    model, case = result["models"][0], case_of(result)
    for part in (result, model, case, case["yardsticks"], *case["rows"]):
        part.pop(lost, None)
    with pytest.raises(UsageError, match=f"not a whole result of nafnet-bench .no '{lost}'"):
        read(result, tmp_path)


def test_a_baseline_of_other_settings_or_of_another_machine_is_refused(result: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"with threads 2, now 77; norm conv, now mean: compare"):
        read(result, tmp_path, {"threads": 77, "norm": "mean"})
    with pytest.raises(UsageError, match="processor One, now Another; gpu None, now A card: compare"):
        read(result, tmp_path, machine={"processor": "Another", "gpu": "A card"})


def test_a_file_that_says_nothing_of_malloc_was_measured_with_the_default(result: Any, tmp_path: Path) -> None:
    del result["settings"]["malloc"]
    assert read(result, tmp_path, {"malloc": "default"})
    with pytest.raises(UsageError, match="malloc default, now keep"):
        read(result, tmp_path)


@pytest.mark.parametrize("key", [Key("2", 64, 1), Key("1", 96, 1), Key("1", 64, 4)])
def test_a_baseline_of_other_work_is_refused_before_anything_is_measured(result: Any, key: Key, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"old.json: has no model, tile and batch of this run: measure it"):
        read(result, tmp_path, keys=[key])


def test_a_baseline_without_calm_rounds_is_refused(result: Any, tmp_path: Path) -> None:
    seconds_of(result)["copy"][2] = 1.0
    with pytest.raises(
        UsageError, match="has 1 rounds of 1 x 64 x 64 in which the machine was calm; expected 5 or more"
    ):
        read(result, tmp_path)
