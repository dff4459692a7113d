"""Several strengths of a photograph: what goes wrong with one of them is its own, and what does with it is of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import DeviceMemoryError, OutputError
from nafnet.images.writer import ImageWriter
from nafnet.runtime import Look, Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.folder.progress import RunProgress
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.paths.job import Job
from tests.runtime.conftest import find_jobs


def jobs_of(pixels: NDArray[Any], folder: Path) -> list[Job]:
    """Of two photographs, in three strengths each."""
    (folder / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(folder / "in" / name)
    (folder / "out").mkdir()
    return find_jobs([folder / "in"], folder / "out", strengths=(0.0, 0.5, 1.0))


def test_what_fails_while_it_is_written_fails_alone(
    identity_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, honest = jobs_of(photograph, tmp_path), ImageWriter.write

    def write(writer: ImageWriter, rows: NDArray[Any]) -> None:
        if writer._path.name == "a-strength-0.5.png":
            raise ValueError("no such pixel")
        honest(writer, rows)

    monkeypatch.setattr(ImageWriter, "write", write)
    told: list[FileReport] = []
    with Restorer.load(identity_onnx, threads=1, tile=64, overlap=0) as restorer:
        rows = Pipeline(restorer, jobs, on_done=told.append).run()
    assert [row.status for row in rows] == ["restored", "failed", *["restored"] * 4]
    assert "no such pixel" in (rows[1].error or "")
    assert len(told) == 6
    assert len(list((tmp_path / "out").iterdir())) == 5 + 2, "and two sheets"


def test_too_little_memory_on_the_device_is_all_of_theirs(
    mixing_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller tiles are cut, and the photograph is fed once more, for each strength."""
    jobs = jobs_of(photograph, tmp_path)
    with Restorer.load(mixing_onnx, threads=1, tile=64, overlap=0) as restorer:
        honest = restorer.backend._run

        def run(given: Any) -> Any:
            if given.shape[-1] > 32:
                raise DeviceMemoryError("out of memory")
            return honest(given)

        monkeypatch.setattr(restorer.backend, "_run", run)
        rows = Pipeline(restorer, jobs).run()
        assert [row.status for row in rows] == ["restored"] * 6
        assert restorer.tile == 32
        for job in jobs:
            alone = restorer.restore(photograph, Look(strength=job.strength or 0.0))
            assert np.array_equal(np.asarray(Image.open(job.target)), alone)


def test_the_folder_that_takes_no_more_ends_the_run(
    identity_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OutputError("no space left")

    jobs = jobs_of(photograph, tmp_path)
    monkeypatch.setattr(ImageWriter, "write", refused)
    with Restorer.load(identity_onnx, threads=1) as restorer, pytest.raises(OutputError, match="no space left"):
        Pipeline(restorer, jobs).run()
    assert not list((tmp_path / "out").iterdir())


def test_the_bar_ends_full(identity_onnx: Path, photograph: NDArray[np.uint8], tmp_path: Path) -> None:
    jobs = jobs_of(photograph, tmp_path)
    with Restorer.load(identity_onnx, threads=1) as restorer, RunProgress(jobs, quiet=False) as bar:
        Pipeline(restorer, jobs, on_pixels=bar.advance, on_done=bar.done).run()
        (task,) = bar._bar.tasks
        assert task.completed == pytest.approx(task.total)
        assert task.total == sum(job.source.stat().st_size for job in jobs)
