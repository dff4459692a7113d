"""What `nafnet-bench` writes as JSON, and reads as --baseline. Tables and the page are made from this alone.

Times are in seconds, sizes in bytes unless a name says otherwise; differences are in units of the [0, 1] range.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from nafnet.benchmarks.profile_result import ProfileResult
from nafnet.errors import UsageError
from nafnet.files import write_whole

VERSION = 1


class Agreement(TypedDict):
    """One backend against PyTorch fp32."""

    psnr: float
    max_abs: float
    p999: float
    """99.9th percentile of the absolute differences."""


class Speed(TypedDict):
    """One function, called in turn with all others."""

    seconds: list[float]
    """Of each counted call, in the order of the rounds."""
    minimum: float
    median: float
    p90: float
    p95: float
    p99: float
    spread: float
    """Distance of the quartiles over the median."""
    verdict: str
    """steady or noisy, see `timing.STEADY`."""


class DeviceSpeed(TypedDict):
    """Of one batch on a GPU, the fastest of several."""

    compute: float
    copies: float
    """To the device and back."""
    clock: str
    """events, or host: see `DeviceTime`."""


class RowResult(TypedDict):
    """One backend, one tile and batch."""

    name: str
    backend: str
    precision: str
    parity: Agreement | None
    """None for the reference."""
    refused: str | None
    """Why it has no speed."""
    prepare_seconds: NotRequired[float]
    """To load the model for this very shape, or to compile it."""
    speed: NotRequired[Speed]
    megapixels_per_second: NotRequired[float]
    times_reference: NotRequired[float]
    """How many times as fast as the reference, by minima of the same rounds."""
    group: NotRequired[int]
    """From 2 on, of rows that did not fit into memory beside those before them: they had rounds of their own, with the
    reference again, and are compared with no baseline."""
    share_of_matrix_rate: NotRequired[float]
    """Floating-point operations a second, over those of a matrix product in this precision."""
    share_of_floor: NotRequired[float]
    """The floor of `roofline.floor` over the minimum."""
    device: NotRequired[DeviceSpeed]
    streamed_seconds: NotRequired[float]
    """Of a batch from host to host on a GPU, of many whose copies and computing overlap."""
    streamed_megapixels_per_second: NotRequired[float]
    device_failed: NotRequired[str]
    """Why the last three are not there, where they should be."""


class Transfers(TypedDict):
    """A batch to the GPU and back, from pinned memory, by the GPU's own clock."""

    to_device: float
    from_device: float


class CaseResult(TypedDict):
    """One tile and batch."""

    tile: int
    batch: int
    flops: int
    bytes: int
    yardsticks: dict[str, Speed]
    """Matrix products and a copy, called in turn with the rows."""
    flops_per_second: dict[str, float]
    """Of the matrix products, by precision."""
    bytes_per_second: float
    floor_seconds: dict[str, float]
    """By precision, see `roofline.floor`."""
    readings: dict[str, dict[str, float]]
    """Clocks, temperatures and power before and after, and of a GPU while it works, where they can be read."""
    transfers: Transfers | None
    rows: list[RowResult]


class StartResult(TypedDict):
    """A backend in a process of its own."""

    name: str
    total: NotRequired[float]
    loading: NotRequired[float]
    first_tile: NotRequired[float]
    host_mb: NotRequired[float]
    device_mb: NotRequired[float | None]
    device_mb_from: NotRequired[str | None]
    """process or card, see `gpu.memory`."""
    failed: NotRequired[str]


class PathResult(TypedDict):
    """A photograph from file to file."""

    name: str
    failed: NotRequired[str]
    """Why it has no time."""
    speed: NotRequired[Speed]
    megapixels_per_second: NotRequired[float]
    run_again: NotRequired[int]
    """Tiles whose result could not be true, where there are such: the runtime ran them twice, and that is no time to
    go by."""


class PathsResult(TypedDict):
    photograph: str
    width: int
    height: int
    tile: int
    overlap: int
    batch: int
    rows: list[PathResult]


class ImageScore(TypedDict):
    """One backend on one picture."""

    image: str
    psnr: float
    """To PyTorch, in the same tiles; so are the next three."""
    ssim: float
    max_abs: float
    p999: float
    truth_psnr: NotRequired[float]
    truth_ssim: NotRequired[float]


class AccuracyRow(TypedDict):
    name: str
    images: list[ImageScore]
    psnr: float
    """Of all pixels of all pictures together."""
    ssim: float
    max_abs: float
    p999: float
    truth_psnr: NotRequired[float]
    """The mean over the pictures, as papers have it."""
    truth_ssim: NotRequired[float]
    lost: NotRequired[float]
    """dB of `truth_psnr` below PyTorch's."""


class TilingRow(TypedDict):
    """PyTorch in tiles against PyTorch on the whole picture: no backend's error."""

    tile: int
    overlap: int
    psnr: float
    max_abs: float
    truth_psnr: NotRequired[float]


class AccuracyResult(TypedDict):
    protocol: str
    pictures: str
    """What they are."""
    tile: int
    overlap: int
    rows: list[AccuracyRow]
    tiling: list[TilingRow]
    whole_truth_psnr: NotRequired[float]
    """PyTorch on whole pictures."""


class ModelResult(TypedDict):
    name: str
    architecture: str
    parameters: int
    weights_sha256: str
    task: str
    cases: list[CaseResult]
    starts: list[StartResult]
    paths: PathsResult | None
    accuracy: AccuracyResult | None
    profiles: NotRequired[list[ProfileResult]]
    """Where they were asked for."""
    absent: list[dict[str, str]]
    """name and reason of what could not be a row."""


class Result(TypedDict):
    """A whole run."""

    version: int
    date: str
    command: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    models: list[ModelResult]


def memory_of(result: Result) -> str:
    """What the C library did with freed memory, in words."""
    kept = result["settings"].get("malloc") == "keep"
    return "freed memory kept" if kept else "freed memory given back (the C library's default)"


def write_result(path: Path, result: Result) -> None:
    """Whole or not at all."""
    write_whole(path, json.dumps(result, indent=1, allow_nan=False).encode())


def read_result(path: Path) -> Result:
    """What `write_result` wrote.

    Raises:
        UsageError: no such file, or not a result of this version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as a result of nafnet-bench ({error})") from error
    if not isinstance(content, dict) or "models" not in content:
        raise UsageError(f"{path}: not a result of nafnet-bench; expected what --json wrote")
    if content.get("version") != VERSION:
        raise UsageError(f"{path}: version {content.get('version')!r}; this nafnet-bench reads {VERSION}: measure anew")
    return cast(Result, content)
