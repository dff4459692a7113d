"""A result as one page: plots, tables, sliders and heat maps, with nothing to load."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.benchmarks.measure.scores import Image, Restored
from nafnet.benchmarks.photographs import as_8bit
from nafnet.benchmarks.report.tables import sheets
from nafnet.benchmarks.report.where import profile_bars
from nafnet.benchmarks.results_file import CaseResult, ModelResult, Result, RowResult, memory_of
from nafnet.benchmarks.rows.candidates import REFERENCE
from nafnet.benchmarks.rows.variants import NAIVE, NAIVE_FIXED
from nafnet.benchmarks.timing import STEADY
from nafnet.files import write_whole
from nafnet.page import heat, picture_uri, render
from nafnet.train.run.evaluation_sets import middle

ROOM = 1.6
"""Of the plots of time: so many times the slowest minimum is the whole width, at most."""
SHOWN = 256
"""Side of the middle of each picture that is shown, to the bit."""
# Of the plot of accuracy against speed, in its own units.
WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 400, 260, 48, 34, 14


@dataclasses.dataclass(frozen=True, kw_only=True)
class Story:
    """A model's figures and the pictures that go with them."""

    model: ModelResult
    restored: Restored | None
    """None: no pictures were restored."""


def write_page(path: Path, result: Result, stories: Sequence[Story]) -> None:
    """Write the page, whole or not at all."""
    html = render(
        "nafnet.benchmarks.report", "bench.html", result=result, models=[_model(story) for story in stories],
        data=json.dumps(result, allow_nan=False).replace("<", "\\u003c"), steady=STEADY, side=SHOWN,
        memory=memory_of(result),
    )  # fmt: skip
    write_whole(path, html.encode())


def _model(story: Story) -> dict[str, Any]:
    model = story.model
    timed = [row for row in model["cases"][0]["rows"] if "speed" in row]
    fastest = max(timed, key=lambda row: row["times_reference"])
    exact = max((row for row in timed if row["precision"] == "fp32"), key=lambda row: row["times_reference"])
    return {
        "model": model, "fastest": fastest, "exact": exact,
        "bars": [bars(case) for case in model["cases"]], "scatter": _scatter(model["cases"][0]),
        "memory": _memory(model), "sheets": list(sheets(model)),
        "pictures": [] if story.restored is None else _pictures(story.restored, timed),
        "profile": profile_bars(model.get("profiles", ())),
    }  # fmt: skip


def family(backend: str) -> str:
    """What a bar's colour stands for."""
    for name in ("torch", "onnxruntime", "openvino", "tensorrt"):
        if backend.startswith(name):
            return name
    return "other"


def bars(case: CaseResult) -> dict[str, Any]:
    """Times of a case, the fastest first, on one scale that no disturbed call stretches."""
    rows = sorted((row for row in case["rows"] if "speed" in row), key=lambda row: row["speed"]["minimum"])
    longest = min(max(row["speed"]["p95"] for row in rows), ROOM * rows[-1]["speed"]["minimum"])
    return {
        "case": case,
        "rows": [
            {
                "row": row, "family": family(row["backend"]), "naive": row["name"].endswith((NAIVE, NAIVE_FIXED)),
                **{name: min(100 * row["speed"][name] / longest, 100.0) for name in ("minimum", "median", "p95")},
            }
            for row in rows
        ],
    }  # fmt: skip


def _memory(model: ModelResult) -> list[dict[str, Any]]:
    starts = [start for start in model["starts"] if "host_mb" in start]
    if not starts:
        return []
    most, longest = max(start["host_mb"] for start in starts), max(start["total"] for start in starts)
    return [
        {
            "start": start, "family": family(start["name"]),
            "memory": 100 * start["host_mb"] / most, "total": 100 * start["total"] / longest,
        }
        for start in sorted(starts, key=lambda start: start["total"])
    ]  # fmt: skip


def _scatter(case: CaseResult) -> dict[str, Any]:
    """Points of accuracy against speed in the plot's units, numbered from the fastest, and the lines of its axes."""
    rows = sorted((row for row in case["rows"] if "speed" in row), key=lambda row: -row["megapixels_per_second"])
    across = _ticks(0.0, max(row["megapixels_per_second"] for row in rows))
    compared = [row["parity"]["psnr"] for row in rows if row["parity"]]
    up = _ticks(min([*compared, 40.0]), max([*compared, 100.0]))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - MARGIN) * (value - across[0]) / (across[-1] - across[0])

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - MARGIN) * (value - up[0]) / (up[-1] - up[0])

    points = [
        {
            "number": number, "row": row, "family": family(row["backend"]), "x": x(row["megapixels_per_second"]),
            "y": y(row["parity"]["psnr"] if row["parity"] else up[-1]),
        }
        for number, row in enumerate(rows, 1)
    ]  # fmt: skip
    return {
        "points": points, "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - MARGIN, "top": MARGIN,
        "bottom": HEIGHT - BOTTOM, "across": [(value, x(value)) for value in across],
        "up": [(value, y(value)) for value in up],
    }  # fmt: skip


def _ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers that enclose both."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
    for factor in (0.2, 0.5, 1.0, 2.0):
        first, last = math.floor(low / (step * factor)), math.ceil(high / (step * factor))
        if last - first <= 7:
            break
    return [index * step * factor for index in range(first, last + 1)]


def _pictures(restored: Restored, timed: Sequence[RowResult]) -> list[dict[str, Any]]:
    """Each picture before and after, by the fastest backend, and how that one differs from PyTorch."""
    candidates = [row for row in timed if row["name"] in restored.images]
    shown = max(candidates, key=lambda row: row["times_reference"])["name"]
    found = []
    for index, picture in enumerate(restored.pictures.pictures):
        after, expected = (middle(restored.images[name][index], SHOWN) for name in (shown, REFERENCE))
        difference = np.abs(after - expected).max(-1)
        largest = float(difference.max())
        before = middle(picture.degraded.transpose(1, 2, 0), SHOWN)
        found.append({
            "name": picture.name, "height": after.shape[0], "width": after.shape[1], "shown": shown,
            "before": _uri(before), "after": _uri(after), "heat": picture_uri(heat(difference, largest)),
            "clean": None if picture.clean is None else _uri(middle(picture.clean.transpose(1, 2, 0), SHOWN)),
            "largest": largest,
        })  # fmt: skip
    return found


def _uri(image: Image) -> str:
    return picture_uri(as_8bit(np.ascontiguousarray(image)))
