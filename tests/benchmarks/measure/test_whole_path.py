"""A photograph from file to file: its size, the form of the model that runs, and what is told beside the time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nafnet.benchmarks.measure.whole_path import TILES, continued, whole_paths
from nafnet.benchmarks.pictures import Picture
from nafnet.benchmarks.report.tables import paths_sheet
from nafnet.benchmarks.results_file import PathsResult
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.errors import BackendError
from nafnet.runtime.backends.base import Backend
from nafnet.tiling import plan_tiles
from nafnet.wire import Batch

GIVEN = Picture(name="a", degraded=np.full((3, 48, 72), 0.5, np.float32), clean=None)


def measured(*backends: Backend) -> PathsResult:
    named = [(str(index), backend) for index, backend in enumerate(backends)]
    return whole_paths(named, GIVEN, tile=32, overlap=8, batch=1, seconds=0, tile_seconds=10.0)


@pytest.mark.parametrize("shape", [(80, 120, 3), (500, 400, 3), (10, 10, 1)])
@pytest.mark.parametrize(("count", "tile", "overlap"), [(24, 256, 16), (100, 32, 8), (20, 512, 128)])
def test_whole_tiles_cover_the_photograph(shape: tuple[int, ...], count: int, tile: int, overlap: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    large = continued(pixels, count, tile, overlap)
    plan = plan_tiles(*large.shape[:2], tile=tile, overlap=overlap, multiple=16)
    assert plan.tile_shape == (tile, tile)
    assert plan.count == pytest.approx(count, rel=0.2)
    assert large.shape[1] / large.shape[0] == pytest.approx(shape[1] / shape[0], rel=0.3)
    mirrored = np.pad(pixels, ((0, shape[0]), (0, shape[1]), (0, 0)), mode="symmetric")
    height, width = min(large.shape[0], 2 * shape[0]), min(large.shape[1], 2 * shape[1])
    assert np.array_equal(large[:height, :width], mirrored[:height, :width])


def test_the_form_that_was_prepared_runs(candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = candidates[-1].open(1)
    backend.prepares_itself = False
    backend.prepare((1, 3, 32, 32))
    assert backend._prepared is not None
    prepared, calls = backend._prepared[1], Counter[str]()

    def counting(batch: Batch) -> Batch:
        calls["prepared"] += 1
        return prepared(batch)

    monkeypatch.setattr(backend, "_prepared", ((1, 3, 32, 32), counting))
    monkeypatch.setattr(backend, "_any_shape", lambda _: pytest.fail("a tile of another size"))
    found = measured(backend)
    assert found["width"] * found["height"] >= 0.8 * TILES[0] * (32 - 8) ** 2
    assert calls["prepared"] >= 0.8 * TILES[0] * len(found["rows"][0]["speed"]["seconds"])
    assert f"continued by reflection to a JPEG of {found['width']} x {found['height']}" in paths_sheet(found).title


def test_tiles_that_were_run_twice_are_told_beside_the_time(
    candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, broken = candidates[-1].open(1), candidates[-1].open(1)
    monkeypatch.setattr(broken, "_run", lambda batch: batch + 7)
    found = measured(sound, broken)
    assert "run_again" not in found["rows"][0]
    assert found["rows"][1]["run_again"] >= 0.8 * TILES[0]
    assert f"; {found['rows'][1]['run_again']} tiles run twice" in paths_sheet(found).rows[1][3]


def test_a_backend_that_fails_on_the_photograph_takes_no_time_from_the_others(
    candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = candidates[-1].open(1), candidates[-1].open(1)

    def fail(_: Batch) -> Batch:
        raise BackendError("no such kernel")

    monkeypatch.setattr(broken, "_run", fail)
    found = measured(broken, sound)
    assert "no such kernel" in found["rows"][0]["failed"]
    assert "speed" not in found["rows"][0]
    assert found["rows"][1]["speed"]["minimum"] > 0
    assert paths_sheet(found).rows[0][1].startswith("failed: ")
