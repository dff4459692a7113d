"""`nafnet-train compare`: the table says what the runs wrote down."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from nafnet.errors import DataError
from nafnet.train.run.compare import COLUMNS, comparison_row
from tests.train.conftest import Train, trained_here


def test_the_table_is_of_the_runs(train: Train, tmp_path: Path) -> None:
    outcome, small, _ = train("loop.epochs=10", folder="small")
    _, wide, _ = train("loop.steps=20", "architecture.width=8", folder="wide")
    done = trained_here("compare", small, wide, tmp_path / "none", "--csv")
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
    shown = trained_here("compare", small)
    assert shown.returncode == 0
    assert "tiny" in shown.stdout


def test_epochs_count_every_patch_of_a_crop(train: Train) -> None:
    _, run, _ = train("loop.epochs=3", "sampling.crop=16", "sampling.patch=8")
    row = dict(zip(COLUMNS, comparison_row(run), strict=True))
    assert (row["images"], row["steps"], row["epochs"]) == ("16", "48", "3.0")


@pytest.mark.parametrize(
    "record", ["[]", "{", '{"recipe": {}, "data": {}}', '{"recipe": {"name": "a"}, "data": {"parts": []}}']
)
def test_what_is_no_run_hides_no_row(record: str, train: Train, tmp_path: Path) -> None:
    _, run, _ = train("loop.steps=10")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text(record, encoding="utf-8")
    done = trained_here("compare", tmp_path / "odd", run)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "tiny" in done.stdout


def test_an_evaluation_that_is_half_written_is_passed_over(train: Train) -> None:
    _, run, _ = train("loop.steps=20")
    whole = comparison_row(run)
    with (run / "evaluations.csv").open("a", encoding="utf-8") as file:
        file.write("30,train,1,2,0.5,1\n40,tr")
    assert comparison_row(run) == whole


def test_evaluations_of_earlier_versions_are_read(train: Train) -> None:
    _, run, _ = train("loop.steps=20")
    whole = comparison_row(run)
    lines = (run / "evaluations.csv").read_text(encoding="utf-8").splitlines()
    (run / "evaluations.csv").write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines), encoding="utf-8")
    assert comparison_row(run) == whole


def test_a_run_that_was_not_evaluated_has_no_row(train: Train) -> None:
    _, run, _ = train("loop.steps=5")
    (run / "evaluations.csv").write_text("step,set,loss,psnr,ssim\n", encoding="utf-8")
    with pytest.raises(DataError, match="not evaluated yet"):
        comparison_row(run)
