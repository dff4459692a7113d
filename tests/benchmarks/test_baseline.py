"""Earlier results, read to be compared with: several are one baseline, and none that is broken or of elsewhere is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nafnet.benchmarks.baseline import Baseline, read_baseline

from nafnet.errors import UsageError

from .timed import SECONDS, case_of


def read(result: Any, folder: Path, *, threads: int = 2, norm: str = "conv", processor: str = "One") -> Baseline:
    path = folder / "old.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    return read_baseline([path], {"threads": threads, "norm": norm, "seconds": 5, "malloc": "keep"}, processor)


def test_several_files_are_one_baseline(result: Any, tmp_path: Path) -> None:
    (key,) = read(result, tmp_path)
    assert key == ("1", 64, 1)
    path = tmp_path / "old.json"
    assert read_baseline([path, path], result["settings"], "One") == {key: [case_of(result)] * 2}
    assert read_baseline([], result["settings"], "One") == {}


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
        read(result, tmp_path, threads=77, norm="mean")
    with pytest.raises(UsageError, match="processor One, now Another"):
        read(result, tmp_path, processor="Another")
