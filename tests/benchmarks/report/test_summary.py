"""One table of several result files, and the one in benchmarks/results, which is that of the files beside it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nafnet.benchmarks.report.summary import main, summaries
from nafnet.benchmarks.results_file import read_result

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_table_of_the_results_is_that_of_their_files() -> None:
    files = sorted(str(path) for path in RESULTS.glob("*.json"))
    done = CliRunner().invoke(main, files)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) > 10
    assert done.output.strip() in (RESULTS / "README.md").read_text(encoding="utf-8")


def test_each_figure_is_the_files(benched: Path) -> None:
    result: Any = json.loads((benched / "result.json").read_text(encoding="utf-8"))
    (sheet,) = summaries([read_result(benched / "result.json")])
    case = result["models"][0]["cases"][0]
    for row in case["rows"]:
        (line,) = [cells for cells in sheet.rows if cells[0] == row["name"]]
        if row["refused"]:
            assert line[1] == "refused"
        else:
            assert line[1].startswith(f"{1e3 * min(row['speed']['seconds']):.1f} (")


def test_each_machine_has_a_table_of_its_own(benched: Path) -> None:
    one: Any = read_result(benched / "result.json")
    other = copy.deepcopy(one)
    other["machine"]["gpu"] = "A card"
    assert [len(list(summaries(given))) for given in ([one, one], [one, other])] == [1, 2]
    (both,) = summaries([one, one])
    (alone,) = summaries([one])
    assert len(both.columns) == 2 * len(alone.columns) - 1


@pytest.mark.parametrize("content", ["", "{}", '{"models": [], "version": 0}'])
def test_another_file_is_refused_in_a_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, encoding="utf-8")
    done = CliRunner().invoke(main, [str(path)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
