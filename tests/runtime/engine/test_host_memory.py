"""The machine's own memory runs out, at load or on the way: one line that says what to do, and what can go on does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nafnet.errors import BackendError
from nafnet.runtime import Restorer
from nafnet.runtime.backends import onnxruntime_cpu, openvino_cpu
from nafnet.runtime.backends.base import Backend
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine import batches, load_check, tiles
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.spec import ModelSpec

from .conftest import Device
from .test_checks import write_images

SHORT = "out of the machine's memory: Unable to allocate 3 GiB); a smaller --tile or --batch takes less"


def short_of_memory(*_: Any) -> Any:
    raise MemoryError("Unable to allocate 3 GiB")


def where_white(honest: Callable[..., Any]) -> Callable[..., Any]:
    """Takes all memory for what is white."""

    def work(pixels: Any, *rest: Any) -> Any:
        return (short_of_memory if pixels.max() > (0.7 if pixels.dtype.kind == "f" else 250) else honest)(pixels, *rest)

    return work


@pytest.mark.parametrize("where", [(tiles, "write_planes"), (batches, "cannot_be_true")])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_picture_that_takes_all_memory_fails_alone(
    where: tuple[Any, str], batch: int, darkening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = write_images(tmp_path / "in", 9, lambda index: 255 if index % 4 == 2 else 10 * index)
    monkeypatch.setattr(*where, where_white(getattr(*where)))
    with Restorer(Device(Model(path=darkening, spec=ModelSpec()), None), tile=16, overlap=0, batch=batch) as restorer:
        rows = Pipeline(restorer, jobs).run()
    failed = {index: row.error or "" for index, row in enumerate(rows) if row.status == "failed"}
    # What is in flight beside a batch that cannot be written is not known to be innocent.
    assert {2, 6} <= set(failed) <= {1, 2, 3, 5, 6, 7}
    assert all(SHORT in failed[index] and "\n" not in failed[index] for index in (2, 6))
    assert {row.status for row in rows} == {"failed", "restored"}
    assert np.asarray(Image.open(jobs[8].target)).max() == 60


@pytest.fixture
def loads(darkening: Path) -> Callable[..., Restorer]:
    pytest.importorskip("openvino")
    return lambda **options: Restorer.load(darkening, device="cpu", **options)


def first_time(honest: Callable[..., Any]) -> Callable[..., Any]:
    """Takes all memory when it is first called."""
    calls: list[int] = []

    def work(*given: Any) -> Any:
        calls.append(1)
        return (short_of_memory if len(calls) == 1 else honest)(*given)

    return work


def test_memory_that_ends_in_the_check_at_load(loads: Callable[..., Restorer], monkeypatch: pytest.MonkeyPatch) -> None:
    honest = load_check.compare_with_answer
    monkeypatch.setattr(load_check, "compare_with_answer", first_time(honest))
    said: list[str] = []
    with loads(say=said.append) as restorer:
        assert restorer.backend.name == "onnxruntime"
    (line,) = said
    assert f"{SHORT}; going on with onnxruntime" in line
    monkeypatch.setattr(load_check, "compare_with_answer", first_time(honest))
    with pytest.raises(BackendError, match=re.escape(SHORT)):
        loads(backend="openvino").close()


def refuse_batches(kind: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    honest = kind._load

    def load(self: Any, shape: Any) -> Any:
        run = honest(self, shape)

        def one(batch: Any) -> Any:
            if len(batch) > 1:
                raise RuntimeError("one at a time")
            return run(batch)

        return one

    monkeypatch.setattr(kind, "_load", load)


def test_auto_goes_on_where_a_backend_cannot_run_the_batch(
    loads: Callable[..., Restorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_batches(openvino_cpu.OpenVinoBackend, monkeypatch)
    said: list[str] = []
    with loads(batch=4, say=said.append) as restorer:
        assert (restorer.backend.name, restorer.batch) == ("onnxruntime", 4)
    (line,) = said
    assert re.search(r"batch 4: .*one at a time.*; choose a smaller one; going on with onnxruntime$", line)
    refuse_batches(onnxruntime_cpu.OnnxRuntimeBackend, monkeypatch)
    with pytest.raises(BackendError, match=r"batch 4: openvino.*batch 4: onnxruntime"):
        loads(batch=4).close()
