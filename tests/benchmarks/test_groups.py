"""Rows that do not fit into memory beside each other, and a run in brief: the command itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nafnet.benchmarks.cli import main
from nafnet.benchmarks.loading import by_need
from nafnet.benchmarks.measure import whole_path
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import Wanted, asked_for, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.benchmarks.verdict.baseline import timed_rows
from nafnet.runtime.backends.base import Run, Shape
from nafnet.runtime.backends.onnxruntime_cpu import OnnxRuntimeBackend

ORDER = ["torch eager", "onnxruntime naive", "onnxruntime naive, fixed", "onnxruntime ours"]


def benched(small: Path, folder: Path, *words: str) -> tuple[Result, dict[str, Any]]:
    named = ["--backend", "onnxruntime", "--tile", "32", "--seconds", "0", "--malloc", "default"]
    files = ["--json", str(folder / "result.json"), "--html", str(folder / "result.html")]
    done = CliRunner().invoke(main, ["--model", str(small), *named, *words, *files], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return done, result


def test_rows_that_do_not_fit_are_measured_after_the_others(
    small: Path, benched_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_path, "TILES", (2, 2))
    done, result = benched(small, tmp_path, "--memory", "0.1", "--no-cold", "--images", str(benched_images))
    assert "into 0.1 GB of memory fit 2, 2 more come after them" in done.stderr
    (model,) = result["models"]
    (case,) = model["cases"]
    assert [row["name"] for row in case["rows"]] == ORDER
    groups = {row["name"]: row.get("group", 1) for row in case["rows"]}
    assert (groups["torch eager"], groups["onnxruntime ours"]) == (1, 1), "what users run comes first"
    assert sorted(groups.values()) == [1, 1, 2, 3]
    assert groups["onnxruntime naive, fixed"] == 3
    assert all(row["refused"] is None and row["speed"]["minimum"] > 0 for row in case["rows"])
    assert [row["name"] for row in model["accuracy"]["rows"]] == [name for name in ORDER if "fixed" not in name]
    assert [row["name"] for row in model["paths"]["rows"]] == ORDER
    # What had rounds of its own is compared with no baseline, whose rounds are those of the yardsticks.
    assert list(timed_rows(model["cases"])) == ["torch eager", "onnxruntime ours"]


@pytest.fixture
def benched_images(tmp_path: Path) -> Path:
    from .conftest import photographs

    photographs(tmp_path / "images")
    return tmp_path / "images"


def test_in_brief_it_is_one_table_on_one_screen(small: Path, tmp_path: Path) -> None:
    done, result = benched(small, tmp_path, "--quick")
    assert len(done.stdout.splitlines()) <= 24
    assert max(map(len, done.stdout.splitlines())) <= 160
    (model,) = result["models"]
    assert [row["name"] for row in model["cases"][0]["rows"]] == [name for name in ORDER if "naive" not in name]
    assert (model["starts"], model["paths"], model["accuracy"]) == ([], None, None)
    for row in model["cases"][0]["rows"]:
        (line,) = [line for line in done.stdout.splitlines() if line[1:].strip().startswith(f"{row['name']} ")]
        assert f"{1e3 * row['speed']['minimum']:.1f}" in line
    first, second = (line for line in done.stderr.splitlines() if "about" in line or "between" in line)
    assert "2 rows; PyTorch takes" in first
    assert second.endswith(" to go")
    assert "Pictures" not in (tmp_path / "result.html").read_text(encoding="utf-8")


def test_in_brief_no_pictures_are_taken(small: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--model", str(small), "--tile", "32", "--quick", "--images", str(tmp_path)])
    assert done.exit_code == 2
    assert "--quick restores no pictures" in done.stderr


def test_what_is_left_out_in_brief_is_missed_in_no_baseline(exports: Exports) -> None:
    brief, named = Wanted(brief=True), Wanted(brief=True, backends=("torch-compile",))
    for name, backend in (("openvino naive", "openvino"), ("openvino naive, fixed", "openvino")):
        assert not asked_for(brief, name, backend, "fp32")
    assert asked_for(brief, "openvino ours", "openvino", "fp32")
    assert not asked_for(brief, "torch compile", "torch-compile", "fp32")
    assert asked_for(named, "torch compile", "torch-compile", "fp32")
    found = [row for row in rows(exports, Wanted(backends=("onnxruntime", "torch"))) if isinstance(row, Candidate)]
    assert [row.name for row in by_need(found)] == [
        "torch eager", "onnxruntime ours", "torch channels-last", "onnxruntime naive", "onnxruntime naive, fixed"
    ]  # fmt: skip


def test_a_prepared_backend_holds_its_model_once(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    """And runs other shapes all the same."""
    loads: list[Shape | None] = []
    load = OnnxRuntimeBackend._load

    def counting(self: OnnxRuntimeBackend, shape: Shape | None) -> Run:
        loads.append(shape)
        return load(self, shape)

    monkeypatch.setattr(OnnxRuntimeBackend, "_load", counting)
    tile, other = (np.random.default_rng(0).random((1, 3, 32, side), np.float32) for side in (32, 48))
    with OnnxRuntimeBackend(exports.ours("fp32"), 1) as backend:
        backend.forget_other_shapes()  # not prepared: there is nothing else to run with
        expected = [backend(tile), backend(other)]
        backend.prepare(tile.shape)
        backend.prepare(tile.shape)
        backend.forget_other_shapes()
        assert np.allclose(backend(tile), expected[0], atol=1e-5)
        assert loads == [None, (1, 3, 32, 32)]
        assert np.array_equal(backend(other), expected[1])
        assert np.array_equal(backend(other), expected[1])
        assert loads == [None, (1, 3, 32, 32), None]
