"""A result as tables: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nafnet.benchmarks.report.sheet import Sheet, in_markdown
from nafnet.benchmarks.report.where import profile_sheets
from nafnet.benchmarks.results_file import (
    AccuracyResult,
    CaseResult,
    ModelResult,
    PathResult,
    PathsResult,
    Result,
    RowResult,
    StartResult,
    memory_of,
)

FEWEST_FOR_TAILS = 20
"""Calls without which no 95th or 99th percentile is shown: it would be the slowest call."""


def parity_sheet(rows: Sequence[RowResult]) -> Sheet:
    """Who matches PyTorch, and who is refused a speed."""
    lines = []
    for row in rows[1:]:
        parity = row["parity"]
        figures = ("", "", "") if parity is None else agreement(parity["psnr"], parity["max_abs"], parity["p999"])
        prepared = f"{row['prepare_seconds']:.2f}" if "prepare_seconds" in row else ""
        lines.append((row["name"], row["precision"], *figures, prepared, row["refused"] or "passed"))
    columns = ("parity", "gate", "PSNR, dB", "largest", "99.9%", "prepared in, s", "")
    return Sheet(title="Parity with PyTorch fp32", columns=columns, rows=tuple(lines))


def quick_sheet(case: CaseResult) -> Sheet:
    """A case in one table of few columns: times, and how far from PyTorch."""
    rows = []
    for row in case["rows"]:
        if "speed" not in row:
            rows.append((row["name"], f"refused: {row['refused']}", *[""] * 5))
            continue
        speed, parity = row["speed"], row["parity"]
        rows.append((
            row["name"], f"{1e3 * speed['minimum']:.1f}", f"{1e3 * speed['median']:.1f}",
            f"{row['megapixels_per_second']:.3f}", f"{row['times_reference']:.2f}", speed["verdict"],
            "" if parity is None else f"{parity['psnr']:.1f}",
        ))  # fmt: skip
    columns = ("backend", "min, ms", "median", "MP/s", "x torch eager", "", "PSNR to PyTorch, dB")
    title = f"{case['batch']} x {case['tile']} x {case['tile']}, {_rounds(case['rows'])} rounds"
    return Sheet(title=title, columns=columns, rows=tuple(rows))


def speed_sheet(case: CaseResult) -> Sheet:
    """Times of a tile and batch, in milliseconds, and what they are of the machine's."""
    columns: tuple[str, ...] = (
        "backend", "min, ms", "median", "p90", "p95", "p99", "spread", "", "MP/s", "x torch eager", "of matrix rate",
        "of floor",
    )  # fmt: skip
    rows = [_speed_row(row) for row in case["rows"] if "speed" in row]
    if any("streamed_seconds" in row or "device_failed" in row for row in case["rows"]):
        columns = (*columns, "on the GPU: computing, ms", "copies", "many at once, ms a batch", "MP/s")
        timed = [row for row in case["rows"] if "speed" in row]
        rows = [(*cells, *device_cells(row)) for cells, row in zip(rows, timed, strict=True)]
    for row in case["rows"]:
        if "speed" not in row:
            rows.append((row["name"], f"refused: {row['refused']}", *[""] * (len(columns) - 2)))
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s {name}" for name, rate in case["flops_per_second"].items())
    title = (
        f"{case['batch']} x {case['tile']} x {case['tile']}: {case['flops'] / 1e9:.3g} GFLOP; "
        f"{_rounds(case['rows'])} rounds, in which a matrix product has {rates}, "
        f"copy {case['bytes_per_second'] / 1e9:.1f} GB/s"
    )
    return Sheet(title=title, columns=columns, rows=tuple(rows))


def device_cells(row: RowResult) -> tuple[str, ...]:
    """What a GPU takes; "<" where the host's clock, which cannot say less, was the only one."""
    if "device_failed" in row:
        return f"failed: {row['device_failed']}", "", "", ""
    device = ("", "")
    if "device" in row:
        found = row["device"]
        less = "< " if found["clock"] == "host" else ""
        device = f"{less}{1e3 * found['compute']:.2f}", f"{less}{1e3 * found['copies']:.2f}"
    if "streamed_seconds" not in row:
        return *device, "", ""
    return *device, f"{1e3 * row['streamed_seconds']:.2f}", f"{row['streamed_megapixels_per_second']:.3f}"


def _rounds(rows: Sequence[RowResult] | Sequence[PathResult]) -> int:
    return max((len(row["speed"]["seconds"]) for row in rows if "speed" in row), default=0)


def _speed_row(row: RowResult) -> tuple[str, ...]:
    speed = row["speed"]
    tails = [speed["p95"], speed["p99"]] if len(speed["seconds"]) >= FEWEST_FOR_TAILS else [None, None]
    values = (speed["minimum"], speed["median"], speed["p90"], *tails)
    times = ("" if value is None else f"{1e3 * value:.1f}" for value in values)
    shares = (f"{row[key]:.0%}" if key in row else "" for key in ("share_of_matrix_rate", "share_of_floor"))
    return (
        row["name"], *times, f"{speed['spread']:.0%}", speed["verdict"], f"{row['megapixels_per_second']:.3f}",
        f"{row['times_reference']:.2f}", *shares,
    )  # fmt: skip


def starts_sheet(starts: Sequence[StartResult]) -> Sheet:
    """Cold starts and memory."""
    rows: list[tuple[str, ...]] = []
    for start in starts:
        if "failed" in start:
            rows.append((start["name"], start["failed"], "", "", "", ""))
            continue
        device = start["device_mb"]
        figures = (start["total"], start["loading"], start["first_tile"])
        rows.append((
            start["name"], *(f"{value:.2f}" for value in figures), f"{start['host_mb']:.0f}",
            "" if device is None else f"{device:.0f}" + (" (card)" if start.get("device_mb_from") == "card" else ""),
        ))  # fmt: skip
    columns = ("cold start", "to the first tile, s", "loading, s", "first tile, s", "peak memory, MB", "GPU, MB")
    return Sheet(title="From nothing to the first tile, in a process of its own", columns=columns, rows=tuple(rows))


def paths_sheet(paths: PathsResult) -> Sheet:
    """A photograph from file to file; the bench continues its pictures, see `whole_path`."""
    rows = [_path_row(row) for row in paths["rows"]]
    width, height = paths["width"], paths["height"]
    title = (
        f"From file to file: {paths['photograph']}, continued by reflection to a JPEG of {width} x {height}, "
        f"{width * height / 1e6:.1f} megapixels; tiles of {paths['tile']}, overlap {paths['overlap']}; "
        f"{_rounds(paths['rows'])} rounds"
    )
    return Sheet(title=title, columns=("file to file", "min, s", "median, s", "", "MP/s"), rows=tuple(rows))


def _path_row(row: PathResult) -> tuple[str, ...]:
    if "speed" not in row:
        return row["name"], f"failed: {row.get('failed', '')}", "", "", ""
    speed = row["speed"]
    verdict = speed["verdict"] + (f"; {row['run_again']} tiles run twice" if "run_again" in row else "")
    times = (f"{value:.3f}" for value in (speed["minimum"], speed["median"]))
    return row["name"], *times, verdict, f"{row['megapixels_per_second']:.3f}"


def accuracy_sheet(result: AccuracyResult) -> Sheet:
    """Each backend on all pictures together."""
    truth = all("truth_psnr" in row for row in result["rows"])
    columns = ["accuracy", "PSNR to PyTorch, dB", "SSIM", "largest", "99.9%"]
    columns += ["PSNR to truth, dB", "SSIM to truth", "lost, dB"] if truth else []
    rows = []
    for row in result["rows"]:
        to_torch = agreement(row["psnr"], row["max_abs"], row["p999"])
        cells = [row["name"], to_torch[0], f"{row['ssim']:.5f}", *to_torch[1:]]
        if truth:
            lost = round(row["lost"], 4) + 0.0  # of -0.0 it makes 0.0
            cells += [f"{row['truth_psnr']:.3f}", f"{row['truth_ssim']:.4f}", f"{lost:.4f}"]
        rows.append(tuple(cells))
    return Sheet(title=f"{result['pictures']}; {result['protocol']}", columns=tuple(columns), rows=tuple(rows))


def tiling_sheet(result: AccuracyResult) -> Sheet:
    """What tiles alone change, in PyTorch."""
    rows = [
        (f"{row['tile']}", f"{row['overlap']}", f"{row['psnr']:.2f}", f"{row['max_abs']:.1e}",
         f"{row['truth_psnr']:.3f}" if "truth_psnr" in row else "")
        for row in result["tiling"]
    ]  # fmt: skip
    if "whole_truth_psnr" in result:
        rows.append(("whole", "", "", "", f"{result['whole_truth_psnr']:.3f}"))
    columns = ("tile", "overlap", "PSNR to whole, dB", "largest", "PSNR to truth, dB")
    return Sheet(
        title="Tiling alone: PyTorch in tiles against PyTorch on whole pictures", columns=columns, rows=tuple(rows)
    )


def agreement(psnr: float, max_abs: float, p999: float) -> tuple[str, str, str]:
    """Figures of a comparison, as they are printed everywhere."""
    return f"{psnr:.1f}", f"{max_abs:.1e}", f"{p999:.1e}"


def sheets(model: ModelResult) -> Iterator[Sheet]:
    """All of a model's tables, in the order in which they are to be read."""
    yield parity_sheet(model["cases"][0]["rows"])
    for case in model["cases"]:
        yield speed_sheet(case)
    if model["paths"]:
        yield paths_sheet(model["paths"])
    if model["starts"]:
        yield starts_sheet(model["starts"])
    if model["accuracy"]:
        yield accuracy_sheet(model["accuracy"])
        if model["accuracy"]["tiling"]:
            yield tiling_sheet(model["accuracy"])
    yield from profile_sheets(model.get("profiles", ()))
    if model["absent"]:
        rows = tuple((row["name"], row["reason"]) for row in model["absent"])
        yield Sheet(title="Not measured", columns=("backend", "why"), rows=rows)


def to_markdown(result: Result) -> str:
    """The whole result as a Markdown document."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        f"# nafnet-bench, {result['date']}", "", f"`{' '.join(result['command'].split())}`", "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"GPU {machine['gpu'] or 'none'}; {machine['system']}, Python {machine['python']}, {versions}; "
        f"{memory_of(result)}", "",
    ]  # fmt: skip
    for model in result["models"]:
        size = f"{model['parameters'] / 1e6:.2f} million parameters"
        lines += [f"## {in_markdown(model['name'])}: {model['architecture']}, {size}", ""]
        lines += [sheet.to_markdown() for sheet in sheets(model)]
    return "\n".join(lines)
