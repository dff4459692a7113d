"""Result files in one table for each machine.

``python -m nafnet.benchmarks.report.summary benchmarks/results/*.json``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from nafnet.benchmarks.report.sheet import Sheet
from nafnet.benchmarks.results_file import CaseResult, Result, RowResult, memory_of, read_result
from nafnet.commandline import exits


def summaries(results: Sequence[Result]) -> Iterator[Sheet]:
    """A table of each machine's results, in the order in which machines come: a column for each model, tile and batch,
    a row for each backend, and below them the machine's own rates in the same rounds."""
    machines = list(dict.fromkeys(_machine(result) for result in results))
    for machine in machines:
        own = [result for result in results if _machine(result) == machine]
        found = [(model["name"], case) for result in own for model in result["models"] for case in model["cases"]]
        names = dict.fromkeys(row["name"] for _, case in found for row in case["rows"])
        rows = [(name, *(_cell(case, name) for _, case in found)) for name in names]
        rows += [("matrix product, GFLOP/s", *(_rates(case) for _, case in found))]
        rows += [("copy, GB/s", *(f"{case['bytes_per_second'] / 1e9:.1f}" for _, case in found))]
        dates = " and ".join(sorted({result["date"] for result in own}))
        columns = ("ms (x torch eager; of matrix rate)", *(_column(model, case) for model, case in found))
        yield Sheet(title=f"{machine}, {dates}", columns=columns, rows=tuple(rows))


def _machine(result: Result) -> str:
    machine = result["machine"]
    return f"{machine['processor']}, {machine['cores']} cores, GPU {machine['gpu'] or 'none'}, {memory_of(result)}"


def _column(model: str, case: CaseResult) -> str:
    batch = f"{case['batch']} x " if case["batch"] > 1 else ""
    return f"{model.partition('.')[0]}, {batch}{case['tile']}"


def _cell(case: CaseResult, name: str) -> str:
    row: RowResult | None = next((row for row in case["rows"] if row["name"] == name), None)
    if row is None:
        return ""
    if "speed" not in row:
        return "refused"
    share = f"; {row['share_of_matrix_rate']:.0%}" if "share_of_matrix_rate" in row else ""
    return f"{1e3 * row['speed']['minimum']:.1f} ({row['times_reference']:.2f}{share})"


def _rates(case: CaseResult) -> str:
    return ", ".join(f"{rate / 1e9:.0f} {name}" for name, rate in case["flops_per_second"].items())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@exits
def main(files: tuple[Path, ...]) -> int:
    """Print what FILES, written by nafnet-bench --json, hold: minima, and what they are of PyTorch's and of the
    machine's."""
    click.echo("\n".join(sheet.to_markdown() for sheet in summaries([read_result(file) for file in files])), nl=False)
    return 0


if __name__ == "__main__":
    main()
