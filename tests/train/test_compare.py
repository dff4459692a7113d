"""`nafnet-train compare`: the table says what the runs wrote down."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from nafnet.train.compare import COLUMNS, comparison_row
from nafnet.train.loop import Outcome

from nafnet.errors import DataError

Train = Callable[..., tuple[Outcome, Path, list[str]]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_table_is_of_the_runs(train: Train, nafnet_train: Command, tmp_path: Path) -> None:
    outcome, small, _ = train("loop.epochs=10", folder="small")
    _, wide, _ = train("loop.steps=20", "architecture.width=8", folder="wide")
    done = nafnet_train("compare", small, wide, tmp_path / "none", "--csv")
    assert done.returncode == 1, "one of the three is no run"
    assert "none: no run of nafnet-train" in done.stderr
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert tuple(first) == COLUMNS
    assert (first["recipe"], first["images"], first["steps"], first["epochs"]) == ("tiny", "16", "40", "10.0")
    assert float(first["PSNR, dB"]) == pytest.approx(outcome.best_psnr, abs=0.006)
    assert int(first["best at"]) == outcome.best_step
    gap = float(first["train at the end, dB"]) - float(first["PSNR at the end, dB"])
    assert float(first["gap, dB"]) == pytest.approx(gap, abs=0.011)
    assert float(second["parameters, M"]) > 0
    shown = nafnet_train("compare", small)
    assert shown.returncode == 0
    assert "tiny" in shown.stdout


def test_a_run_that_was_not_evaluated_has_no_row(train: Train) -> None:
    _, run, _ = train("loop.steps=5")
    (run / "evaluations.csv").write_text("step,set,loss,psnr,ssim\n", encoding="utf-8")
    with pytest.raises(DataError, match="not evaluated yet"):
        comparison_row(run)
