"""The first hour on a GPU as one page and one JSON file."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any, TypedDict

from nafnet.benchmarks.report.page import bars
from nafnet.benchmarks.report.sheet import Sheet
from nafnet.benchmarks.report.tables import device_cells, parity_sheet
from nafnet.benchmarks.results_file import ModelResult, Result, RowResult, read_result
from nafnet.errors import UsageError
from nafnet.files import write_whole
from nafnet.page import render
from nafnet.words import lasting

STATES = ("done", "failed", "skipped")


class Entry(TypedDict):
    """One step."""

    group: str
    title: str
    command: str
    status: str
    """Of `STATES`; skipped where what it needs was not made."""
    seconds: float
    output: str
    """Its last lines."""
    error: str | None
    """Why it failed, or was skipped."""
    result: str | None
    """The file of nafnet-bench that it writes."""


class DayResult(TypedDict):
    """All of it."""

    version: int
    date: str
    machine: dict[str, Any]
    steps: list[Entry]


def write_day(folder: Path, day: DayResult) -> None:
    """Write FOLDER/day.json, which has the results of nafnet-bench in it, and FOLDER/day.html, each whole."""
    found = _results(day)
    results = {Path(str(entry["result"])).stem: result for entry, result in found}
    whole = json.dumps({**day, "results": results}, indent=1, allow_nan=False)
    write_whole(folder / "day.json", whole.encode())
    groups = [(name, list(entries)) for name, entries in groupby(sorted_by_group(day), lambda entry: entry["group"])]
    html = render(
        "nafnet.benchmarks.report", "day.html", day=day, groups=groups, lasting=lasting,
        gpu=_gpu(day["machine"]["gpu"]),
        counts={state: sum(entry["status"] == state for entry in day["steps"]) for state in STATES},
        seconds=sum(entry["seconds"] for entry in day["steps"]),
        results=[_shown(_name(entry), model) for entry, result in found for model in result["models"]],
        best=[_best(_name(entry), model) for entry, result in found for model in result["models"]],
    )  # fmt: skip
    write_whole(folder / "day.html", html.encode())


def sorted_by_group(day: DayResult) -> list[Entry]:
    """Steps of one heading together, the headings in the order in which they first come."""
    order = list(dict.fromkeys(entry["group"] for entry in day["steps"]))
    return sorted(day["steps"], key=lambda entry: order.index(entry["group"]))


def device_sheet(model: ModelResult) -> Sheet:
    """Host against device: one call as a program sees it, what of it the GPU computes, and many batches at once."""
    columns = ("batch x tile, backend", "one call, ms", "computing, ms", "copies, ms", "many at once, ms", "MP/s")
    rows = []
    for case in model["cases"]:
        for row in case["rows"]:
            name = f"{case['batch']} x {case['tile']}, {row['name']}"
            rows.append((name, *_times(row)))
    return Sheet(
        title="Host and device; the last two are of a batch, of many on their way", columns=columns, rows=tuple(rows)
    )


def _times(row: RowResult) -> tuple[str, ...]:
    if "speed" not in row:
        return f"refused: {row['refused']}", "", "", "", ""
    return f"{1e3 * row['speed']['minimum']:.2f}", *device_cells(row)


def _shown(name: str, model: ModelResult) -> dict[str, Any]:
    """A result as the page has it."""
    parity = parity_sheet(model["cases"][0]["rows"])
    return {
        "name": name, "model": model, "sheets": (device_sheet(model), parity),
        "bars": [bars(case) for case in model["cases"]],
    }  # fmt: skip


def _best(name: str, model: ModelResult) -> dict[str, Any]:
    """What a result comes to: its fastest row, by many batches at once where they were measured."""
    rows = [
        (row.get("streamed_megapixels_per_second", row["megapixels_per_second"]), case, row)
        for case in model["cases"] for row in case["rows"] if "speed" in row
    ]  # fmt: skip
    rate, case, row = max(rows, key=lambda found: found[0])
    return {"name": name, "rate": rate, "case": case, "row": row}


def _gpu(told: str | None) -> str:
    """As `describe_machine` has it, with words."""
    name, _, rest = (told or "").partition(", ")
    driver, _, memory = rest.partition(", ")
    return f"{name}, driver {driver}, {memory} MiB" if memory else told or "a GPU that nvidia-smi says nothing of"


def _name(entry: Entry) -> str:
    return f"{entry['group']}: {entry['title']}"


def _results(day: DayResult) -> list[tuple[Entry, Result]]:
    """Of the steps that got as far as to write theirs."""
    found = []
    for entry in day["steps"]:
        if entry["result"] and entry["status"] == "done":
            try:
                found.append((entry, read_result(Path(entry["result"]))))
            except UsageError:
                continue  # a step that writes none says so itself
    return found
