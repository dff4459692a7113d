"""Results that cannot be true, and devices without memory: checked on real sessions and on backends that refuse."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from nafnet.errors import BackendError, ModelError
from nafnet.onnxfile import read_onnx
from nafnet.runtime import Restorer
from nafnet.runtime.backends.base import PREPARE_AFTER, Backend, Run, Shape
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.batches import cannot_be_true
from nafnet.runtime.engine.fallback import fp32_twin
from nafnet.runtime.engine.tiles import TiledImage
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.paths.job import Job
from nafnet.spec import ModelSpec

MakeOnnx = Callable[..., Path]


@pytest.fixture
def overflowing(make_onnx: MakeOnnx) -> Path:
    """Gives its input back, but NaN where it is above 0.655, for there a half overflows on the way."""
    constants = {
        "big": np.float32(1e5), "nought": np.float32(0), "start": np.array([0]), "end": np.array([3]),
        "axis": np.array([1]),
    }  # fmt: skip
    return make_onnx(
        helper.make_node("Mul", ["image", "big"], ["large"]),
        helper.make_node("Cast", ["large"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Concat", ["half", "half"], ["twice"], axis=1),  # which ONNX Runtime has in half on a CPU
        helper.make_node("Slice", ["twice", "start", "end", "axis"], ["once"]),
        helper.make_node("Cast", ["once"], ["back"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["back", "nought"], ["none"]),
        helper.make_node("Add", ["image", "none"], ["restored"]),
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def test_tiles_that_are_not_finite_are_run_again_in_fp32(overflowing: Path, tmp_path: Path) -> None:
    picture = np.full((96, 128, 3), 100, np.uint8)
    picture[:32, 32:96] = 250
    Image.fromarray(picture).save(tmp_path / "in.png")
    with Restorer.load(overflowing, backend="onnxruntime", tile=32, overlap=0) as restorer:
        bright = np.full((1, 3, 16, 16), 0.9, np.float32)
        assert np.isnan(restorer.backend(bright)).all(), "else there is nothing to test"
        (row,) = Pipeline(restorer, [Job(source=tmp_path / "in.png", target=tmp_path / "out.png")]).run()
    assert (row.status, row.tiles, row.flagged) == ("restored", 12, 2)
    assert row.notes == [
        "2 tiles of 12 had impossible values and were computed again in full precision; the picture is fine"
    ]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), picture)


def test_twin_of_a_half_graph_computes_in_fp32(make_onnx: MakeOnnx) -> None:
    """Twice 40,000 is more than half holds."""
    weight = numpy_helper.from_array(np.array(40_000, np.float16), "weight")
    path = make_onnx(
        helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "weight"], ["more"]),
        helper.make_node("Add", ["more", "more"], ["twice"]),
        helper.make_node("Cast", ["twice"], ["restored"], to=TensorProto.FLOAT),
        initializer=[weight],
    )
    twin = fp32_twin(read_onnx(path))
    assert all(tensor.data_type == TensorProto.FLOAT for tensor in twin.graph.initializer)
    import onnxruntime

    session = onnxruntime.InferenceSession(twin.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": np.ones((1, 3, 2, 2), np.float32)})[0].max() == 80_000


@pytest.mark.parametrize(
    ("restored", "suspicious"),
    [(0.5, False), (1.4, False), (-0.4, False), (1.6, True), (-0.6, True), (np.nan, True), (np.inf, True)],
)
def test_what_cannot_be_true(restored: float, suspicious: bool) -> None:
    given = np.full((1, 3, 4, 4), 0.5, np.float32)
    result = given.copy()
    result[0, 1, 2, 3] = restored
    assert cannot_be_true(result, (0.5, 0.5)) is suspicious


def test_bright_floats_may_stay_bright() -> None:
    given = np.full((1, 3, 4, 4), 40.0, np.float32)
    assert not cannot_be_true(given * 1.2, (40.0, 40.0))


class ShortOfMemory(Backend):
    """Doubles nothing, gives its input back; refuses what has more than so many pixels."""

    name = "short"
    gains_from_fixed_shapes = False
    limit = 0

    @property
    def description(self) -> str:
        return "a device short of memory"

    def _load(self, shape: Shape | None) -> Run:
        del shape

        def run(batch: NDArray[np.generic]) -> NDArray[np.generic]:
            if batch.shape[0] * batch.shape[2] * batch.shape[3] > self.limit:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return batch.copy()

        return run


@pytest.mark.parametrize(("limit", "batch", "tile"), [(4 * 64 * 64, 4, 64), (2 * 64 * 64, 2, 64), (32 * 32, 1, 32)])
def test_out_of_memory_halves_the_batch_and_then_the_tile(
    limit: int, batch: int, tile: int, identity_onnx: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, size, np.uint8) for size in ((200, 150, 3), (64, 64, 3), (300, 90, 3))]
    jobs = []
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{index}.png")
        jobs.append(Job(source=tmp_path / f"{index}.png", target=tmp_path / f"out-{index}.png"))
    backend = ShortOfMemory(Model(path=identity_onnx, spec=ModelSpec()), None)
    backend.limit = limit
    said: list[str] = []
    with Restorer(backend, tile=64, overlap=8, batch=8, say=said.append) as restorer:
        rows = Pipeline(restorer, jobs).run()
        assert (restorer.batch, restorer.tile) == (batch, tile)
        assert [row.status for row in rows] == ["restored"] * 3
        assert np.array_equal(restorer.restore(pictures[0]), pictures[0])
    assert all("out of memory; going on with" in line for line in said)
    assert len(said) == int(np.log2(8 / batch)) + (tile < 64)
    for index, picture in enumerate(pictures):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"out-{index}.png")), picture)


def test_memory_that_never_suffices_is_an_error(identity_onnx: Path) -> None:
    backend = ShortOfMemory(Model(path=identity_onnx, spec=ModelSpec()), None)
    with Restorer(backend, tile=64, overlap=8, batch=2) as restorer, pytest.raises(BackendError, match="smallest tile"):
        restorer.restore(np.zeros((100, 100, 3), np.uint8))


class Picky(ShortOfMemory):
    """Fails on what is white."""

    name = "picky"
    limit = 10**9

    def _run(self, batch: Any) -> Any:
        if batch.max() > 0.99:
            raise RuntimeError("white is not for me")
        return super()._run(batch)


@pytest.mark.parametrize("batch", [1, 4])
def test_failure_on_one_image_is_its_own(batch: int, identity_onnx: Path, tmp_path: Path) -> None:
    jobs = []
    for index in range(12):
        value = 255 if index in (3, 4, 9) else 10 * index
        Image.fromarray(np.full((40, 48, 3), value, np.uint8)).save(tmp_path / f"{index}.png")
        jobs.append(Job(source=tmp_path / f"{index}.png", target=tmp_path / f"out-{index}.png"))
    backend = Picky(Model(path=identity_onnx, spec=ModelSpec()), None)
    with Restorer(backend, tile=16, overlap=0, batch=batch) as restorer:
        rows = Pipeline(restorer, jobs).run()
    assert [index for index, row in enumerate(rows) if row.status == "failed"] == [3, 4, 9]
    assert all("white is not for me" in (row.error or "") for row in rows if row.status == "failed")
    for index in set(range(12)) - {3, 4, 9}:
        assert np.asarray(Image.open(tmp_path / f"out-{index}.png")).max() == 10 * index


def test_a_backend_that_always_fails_ends_the_run(identity_onnx: Path, tmp_path: Path) -> None:
    jobs = []
    for index in range(30):
        Image.new("RGB", (20, 20), "white").save(tmp_path / f"{index}.png")
        jobs.append(Job(source=tmp_path / f"{index}.png", target=tmp_path / f"out-{index}.png"))
    backend = Picky(Model(path=identity_onnx, spec=ModelSpec()), None)
    pipeline = Pipeline(Restorer(backend, tile=16, overlap=0, batch=2), jobs)
    with pytest.raises(BackendError, match="white is not for me"):
        pipeline.run()
    assert sum(row.status == "failed" for row in pipeline.reports) < 10
    assert not list(tmp_path.glob("out-*"))


class ShortLived(ShortOfMemory):
    """Cannot be prepared for a shape, and gives NaN for what is black."""

    name = "short-lived"
    limit = 10**9
    gains_from_fixed_shapes = True
    alive: ClassVar[list[int]] = []

    def _prepare(self, shape: tuple[int, ...]) -> None:
        raise ModelError(f"no memory for a second copy of {list(shape)}")

    def _run(self, batch: Any) -> Any:
        self.alive.append(sum(type(thing) is TiledImage for thing in gc.get_objects()))
        restored = super()._run(batch)
        return np.where(batch < 0.01, np.float32(np.nan), restored)


def write_images(folder: Path, count: int, value: Callable[[int], int]) -> list[Job]:
    folder.mkdir()
    jobs = []
    for index in range(count):
        Image.fromarray(np.full((32, 32, 3), value(index), np.uint8)).save(folder / f"{index}.png")
        jobs.append(Job(source=folder / f"{index}.png", target=folder / f"out-{index}.png"))
    return jobs


def test_images_that_failed_are_let_go(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    path = make_onnx(helper.make_node("Log", ["image"], ["restored"]))  # not finite in fp32 either, for black
    jobs = write_images(tmp_path / "in", 40, lambda index: 255 if index % 2 else 0)
    backend = ShortLived(Model(path=path, spec=ModelSpec()), None)
    with Restorer(backend, tile=32, overlap=0, batch=1) as restorer:
        rows = Pipeline(restorer, jobs).run()
    assert sum(row.status == "failed" for row in rows) > 10
    assert max(ShortLived.alive) < 12


def test_what_cannot_be_prepared_goes_on_without(identity_onnx: Path, tmp_path: Path) -> None:
    jobs = write_images(tmp_path / "in", PREPARE_AFTER + 10, lambda index: index)
    backend = ShortLived(Model(path=identity_onnx, spec=ModelSpec()), None)
    with Restorer(backend, tile=32, overlap=0, batch=1) as restorer:
        assert {row.status for row in Pipeline(restorer, jobs).run()} == {"restored"}


def test_pipelines_that_share_a_restorer_take_turns(identity_onnx: Path, tmp_path: Path) -> None:
    lists = {
        name: write_images(tmp_path / name, 25, lambda index, start=start: start + index)  # type: ignore[misc]
        for name, start in (("a", 0), ("b", 100))
    }
    with Restorer.load(identity_onnx, tile=32, overlap=0) as restorer, ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda jobs: Pipeline(restorer, jobs).run(), lists.values()))
    assert {row.status for part in rows for row in part} == {"restored"}
    for name, start in (("a", 0), ("b", 100)):
        for index in range(25):
            assert (np.asarray(Image.open(tmp_path / name / f"out-{index}.png")) == start + index).all()
