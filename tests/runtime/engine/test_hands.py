"""Beside a device: every pixel goes there and back whatever its type, in memory that is written again at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nafnet.errors import BackendError
from nafnet.runtime.backends.lanes import Lane, LaneBackend, SeveralDevices
from nafnet.runtime.backends.model import Model
from nafnet.runtime.backends.pending import Pending, Wired
from nafnet.runtime.engine.finishing import to_pixels
from nafnet.runtime.engine.hands import Hands
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.engine.tiles import write_planes
from nafnet.spec import ModelSpec, WireType
from nafnet.tiling import TileBlender, blend_tiles, cut_tiles, plan_tiles
from nafnet.wire import wire_dtype, wire_shape


class OneBuffer(Lane):
    """A device that gives its input back, from memory that it spoils when it is started again."""

    def __init__(self, wire: WireType) -> None:
        self._wire = wire
        self._memory: Wired = np.empty(0)

    def start(self, pending: Pending) -> None:
        self._memory[...] = 99  # whoever still looks at it sees that
        self._memory = np.full(wire_shape(pending.shape, self._wire), 77, wire_dtype(self._wire))
        pending.write(self._memory)

    def finish(self) -> Wired:
        return self._memory


class Mirror(LaneBackend):
    """Gives its input back."""

    name = "mirror"

    @property
    def description(self) -> str:
        return "a mirror"

    def make_lanes(self, count: int) -> list[Lane]:
        return [OneBuffer(self.model.spec.io) for _ in range(count)]


def mirror(wire: WireType, channels: int = 3, threads: int = 3, device: str = "cuda:0") -> Mirror:
    spec = ModelSpec(multiple=16, tile=64, overlap=16, io=wire, channels=channels)
    return Mirror(Model(path=Path("mirror.onnx"), spec=spec), threads, device)


def picture(kind: str, channels: int, height: int = 150, width: int = 333) -> NDArray[np.generic]:
    values = np.random.default_rng(channels).random((height, width, channels))
    if kind == "float32":
        return values.astype(np.float32)
    return (values * (np.iinfo(kind).max + 1)).astype(kind)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("of_model", [1, 3])
@pytest.mark.parametrize(
    ("wire", "kind", "off"),
    [
        ("uint8", "uint8", 0), ("float32", "uint8", 0), ("float32", "uint16", 0), ("float32", "float32", 1e-7),
        ("float16", "uint8", 0), ("float16", "uint16", 16), ("float16", "float32", 2.0**-12),
    ],
)  # fmt: skip
def test_what_goes_to_a_device_comes_back(wire: WireType, kind: str, off: float, of_model: int, channels: int) -> None:
    given = picture(kind, channels)
    with Restorer(mirror(wire, of_model), tile=64, overlap=16, batch=4) as restorer:
        for _ in range(2):
            restored = restorer.restore(given)
            assert np.abs(restored.astype(np.float64) - given).max() <= off


def test_several_devices_write_over_nothing_that_is_still_used() -> None:
    given = picture("uint8", 3, 400, 300)
    with Restorer(
        SeveralDevices([mirror("uint8", device=f"cuda:{number}") for number in range(3)]), tile=64, overlap=16, batch=2
    ) as restorer:
        assert np.array_equal(restorer.restore(given), given)


def test_what_is_closed_restores_nothing_and_says_so() -> None:
    given = picture("uint8", 3)
    restorer = Restorer(mirror("uint8"), tile=64, overlap=16, batch=2)
    stream = restorer.backend.stream_pending(
        Pending.of(np.zeros((1, 3, 64, 64), np.float32), "uint8") for _ in range(9)
    )
    next(stream)
    restorer.close()
    with pytest.raises(BackendError, match="closed"):
        list(stream)
    with pytest.raises(BackendError, match="closed"):
        restorer.restore(given)


def test_ctrl_c_leaves_nobody_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes next may free or write what the threads write to."""
    from nafnet.runtime.engine import hands as module

    done, begun, gate, really = [], threading.Event(), threading.Event(), module.wait

    def work(index: int) -> None:
        begun.set()
        gate.wait(10)
        done.append(index)

    def interrupted(_: list[Any]) -> None:
        monkeypatch.setattr(module, "wait", patient)
        begun.wait(10)
        raise KeyboardInterrupt

    def patient(futures: list[Any]) -> None:
        gate.set()
        really(futures)

    monkeypatch.setattr(module, "wait", interrupted)
    with Hands(2) as hands:
        with pytest.raises(KeyboardInterrupt):
            hands.map(work, range(8))
        ended = list(done)
    assert 1 <= len(ended) <= 2, "what had begun; no more is begun"
    assert ended == done


def test_the_result_is_an_array_of_its_own(tmp_path: Path) -> None:
    given = picture("uint8", 3)
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=given.shape)
    mapped[...] = given
    with Restorer(mirror("uint8"), tile=64, overlap=16, batch=2) as restorer:
        for pixels in (mapped, given.transpose(1, 0, 2)):
            restored = restorer.restore(pixels)
            assert type(restored) is np.ndarray
            assert restored.flags.c_contiguous


def test_a_device_gets_tiles_of_one_shape() -> None:
    with Restorer(mirror("float32"), tile=64, overlap=16, batch=1) as restorer:
        assert {restorer.plan(*size).tile_shape for size in ((1, 1), (65, 64), (150, 333), (1000, 70))} == {(64, 64)}
        for size in ((1, 1), (65, 64), (70, 200)):
            given = picture("uint8", 3, *size)
            assert np.array_equal(restorer.restore(given), given)


def test_bytes_are_blended_to_a_step() -> None:
    """Against floats: what is rounded at both axes is a step off at most, and seldom."""
    plan = plan_tiles(150, 200, tile=64, overlap=20, multiple=16)
    image = np.random.default_rng(0).random((3, 150, 200), np.float32) * 255
    tiles = [np.rint(tile + offset) for offset, tile in enumerate(cut_tiles(image * 0.9, plan))]
    blender = TileBlender(plan, 3, "uint8")
    rows = [made.copy() for tile in tiles if (made := blender.add(tile.astype(np.uint8))) is not None]
    found = np.concatenate(rows, axis=1).astype(int)
    exact = blend_tiles(tiles, plan, 3)
    assert np.abs(found - exact).max() <= 1
    assert (found == np.rint(exact)).mean() > 0.97


def test_halves_are_the_nearest() -> None:
    for kind in (np.uint8, np.uint16):
        pixels = np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(1, -1, 1)
        out = np.empty((3, *pixels.shape[:2]), np.float16)
        write_planes(pixels, out)
        expected = pixels[..., 0].astype(np.float64) / np.iinfo(kind).max
        assert np.abs(out.astype(np.float64) - expected).max() <= 2.0**-12 + 1e-7
        assert np.array_equal(out[0], out[2])


def test_pixels_are_rounded_and_clipped_whoever_turns_them() -> None:
    planes = np.random.default_rng(0).uniform(-0.2, 1.2, (3, 700, 90)).astype(np.float32)
    expected = np.clip(np.rint(planes * np.float32(255)), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    for count in (1, 4):
        with Hands(count) as hands:
            assert np.array_equal(to_pixels(planes.copy(), "uint8", hands), expected)


class Failing(OneBuffer):
    """Gives all zeros, as a graph that takes bytes does for what is no number, of each batch's first tile."""

    def finish(self) -> Wired:
        self._memory[0] = 0
        return self._memory


def test_a_tile_of_bytes_that_came_to_nothing_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[NDArray[np.float32]] = []

    def in_fp32(_: object, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        again.append(planes)
        return planes

    monkeypatch.setattr(Mirror, "make_lanes", lambda _, count: [Failing("uint8") for _ in range(count)])
    monkeypatch.setattr("nafnet.runtime.engine.fallback.Fallback.__call__", in_fp32)
    bright = picture("uint8", 3)
    with Restorer(mirror("uint8"), tile=64, overlap=16, batch=4) as restorer:
        assert np.array_equal(restorer.restore(bright), bright)
        assert {planes.shape for planes in again} == {(1, 3, 64, 64)}
        assert len(again) == -(-restorer.plan(*bright.shape[:2]).count // 4)
        again.clear()
        dark = np.full_like(bright, 9)
        assert restorer.restore(dark).min() == 0
        assert again == [], "black may well be right"
        monkeypatch.setattr("nafnet.runtime.engine.fallback.Fallback.__call__", lambda _, planes: planes * 0)
        with pytest.raises(BackendError, match="not finite, in fp32 either"):
            restorer.restore(bright)


def test_hands_wait_for_all_before_an_error_is_raised() -> None:
    done, gate = [], threading.Event()

    def work(index: int) -> None:
        if index == 0:
            raise ValueError("the first")
        gate.wait(10)
        done.append(index)

    with Hands(3) as hands:
        threading.Timer(0.05, gate.set).start()
        with pytest.raises(ValueError, match="the first"):
            hands.map(work, range(3))
        assert sorted(done) == [1, 2]
        assert hands.map(lambda index: index * 2, range(9)) == list(range(0, 18, 2))
