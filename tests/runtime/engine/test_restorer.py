"""Restorer and its backends: arrays in, arrays out, on real sessions, against PyTorch."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

from nafnet.errors import BackendError, ImageError, MissingExtraError, ModelError, UsageError
from nafnet.pretrained import bundled_model
from nafnet.runtime import Restorer, restore_file
from nafnet.runtime.backends import REGISTRY, backend_class, choose_for, is_installed
from nafnet.runtime.backends.base import PREPARE_AFTER
from nafnet.runtime.folder.settings import Encoding
from tests.platforms import signals
from tests.streaming import streamed

MakeOnnx = Callable[..., Path]


def skip_if_absent(backend: str) -> None:
    if missing := REGISTRY[backend].absent() if is_installed(backend) else "not installed":
        pytest.skip(f"{backend}: {missing}")


@pytest.mark.parametrize("backend", [name for name, entry in REGISTRY.items() if entry.reads != "plan"])
def test_backends_agree_with_pytorch(backend: str, photograph: NDArray[np.uint8]) -> None:
    skip_if_absent(backend)
    torch = pytest.importorskip("torch")
    from nafnet.checkpoint import load_checkpoint

    off = 0.02 if "bf16" in backend else 2e-5
    tile = np.ascontiguousarray(photograph[:96, :160].transpose(2, 0, 1)[None] / np.float32(255), np.float32)
    with torch.inference_mode():
        expected = load_checkpoint(bundled_model(".safetensors")).build()(torch.from_numpy(tile)).numpy()
    with Restorer.load(backend=backend, threads=1) as restorer:
        np.testing.assert_allclose(restorer.backend(tile), expected, atol=off, rtol=0)
        restorer.backend.prepare(tile.shape)
        np.testing.assert_allclose(restorer.backend(tile), expected, atol=off, rtol=0)
        other = np.repeat(tile[:, :, :64], 2, 0)
        assert restorer.backend(other).shape == other.shape, "another shape still runs"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_long_run_changes_no_bit(backend: str) -> None:
    """A backend may prepare itself for a shape that repeats; a result must not hang on what was restored before."""
    tile = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    with Restorer.load(backend=backend) as restorer:
        first = restorer.backend(tile)
        for _ in range(PREPARE_AFTER + 1):
            assert np.array_equal(restorer.backend(tile), first)


def decide_while_busy(backend: Any, monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """Have it decide on tiles side by side as if a second were there, however they come: others may be done before
    the one that it decides by. The list that is returned gets that tile."""
    prepare, decided_by = backend._prepare_if_same, []

    def with_another(batch: NDArray[np.float32]) -> None:
        with backend._counting:
            backend._active += 1
        decided_by.append(batch)
        prepare(batch)
        with backend._counting:
            backend._active -= 1

    monkeypatch.setattr(backend, "_prepare_if_same", with_another)
    return decided_by


@pytest.mark.parametrize("backend", ["openvino", "openvino-bf16"])
def test_tiles_side_by_side_are_the_same_to_the_bit(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are computed so hangs on the processor: on whether that changes a bit."""
    skip_if_absent(backend)
    tiles = np.random.default_rng(0).random((PREPARE_AFTER + 40, 1, 3, 32, 32), np.float32)
    with Restorer.load(backend=backend, threads=2) as restorer:
        alone = [restorer.backend(tile) for tile in tiles[: PREPARE_AFTER - 10]]
    with Restorer.load(backend=backend, threads=2) as restorer:
        chosen: Any = restorer.backend
        decided_by = decide_while_busy(chosen, monkeypatch)
        made = streamed(chosen, tiles)
        (tile,) = decided_by
        same = np.array_equal(chosen._load_side_by_side(tile.shape)(tile), chosen._any_shape(tile))
        assert (chosen._side_by_side is not None) == same
        alone += [chosen(tile) for tile in tiles[len(alone) :]]
    assert all(np.array_equal(one, other) for one, other in zip(alone, made, strict=True))


@pytest.mark.parametrize(("off", "taken"), [(0.0, True), (1e-7, False)])
def test_tiles_run_side_by_side_where_that_changes_no_bit(
    off: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_if_absent("openvino")
    tiles = np.random.default_rng(0).random((PREPARE_AFTER + 20, 1, 3, 32, 32), np.float32)
    runs: list[int] = []
    with Restorer.load(backend="openvino", threads=2) as restorer:
        chosen: Any = restorer.backend
        decide_while_busy(chosen, monkeypatch)
        twin, turn = chosen._load(None), threading.Lock()

        def several(batch: NDArray[np.float32]) -> NDArray[np.float32]:
            with turn:
                runs.append(1)
                restored: NDArray[np.float32] = twin(batch) + np.float32(off)
                return restored

        monkeypatch.setattr(chosen, "_load_side_by_side", lambda _: several)
        made = streamed(chosen, tiles)
        assert all(np.array_equal(twin(tile), one) for tile, one in zip(tiles, made, strict=True))
        assert runs, "it was looked at"
        assert (chosen._side_by_side is not None) == taken


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 15, 16)])
def test_wrong_batches_are_refused(shape: tuple[int, ...]) -> None:
    with Restorer.load(backend="onnxruntime") as restorer, pytest.raises(BackendError, match="expected"):
        restorer.backend(np.zeros(shape, np.float32))


def test_batches_do_not_change_the_result(photograph: NDArray[np.uint8]) -> None:
    results = []
    for batch in (1, 4):
        with Restorer.load(tile=64, batch=batch) as restorer:
            results.append(restorer.restore(photograph).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1
    assert np.abs(results[0] - photograph).max() > 1, "something was restored"


def test_grey_keeps_its_shape_and_equals_restored_rgb(photograph: NDArray[np.uint8]) -> None:
    grey = photograph[:, :, 1]
    with Restorer.load() as restorer:
        flat, deep = restorer.restore(grey), restorer.restore(grey[:, :, None])
        colour = restorer.restore(np.repeat(grey[:, :, None], 3, 2)).mean(2)
    assert flat.shape == grey.shape
    assert np.array_equal(deep[:, :, 0], flat)
    assert np.abs(flat - colour).max() <= 1


def test_one_channel_model_restores_each_channel(make_onnx: MakeOnnx, photograph: NDArray[np.uint8]) -> None:
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    path = make_onnx(helper.make_node("Mul", ["image", "half"], ["restored"]), channels=1, initializer=[half])
    with Restorer.load(path) as restorer:
        assert np.abs(restorer.restore(photograph).astype(float) - photograph / 2).max() <= 0.5


def test_values_that_are_not_finite_are_never_given_back(make_onnx: MakeOnnx, photograph: NDArray[np.uint8]) -> None:
    path = make_onnx(helper.make_node("Log", ["image"], ["restored"]))
    black = np.zeros_like(photograph)
    with Restorer.load(path) as restorer, pytest.raises(BackendError, match="not finite"):
        restorer.restore(black)


def test_models_that_cannot_serve_are_refused(make_onnx: MakeOnnx) -> None:
    four = make_onnx(channels=4, name="four.onnx")
    halving = make_onnx(
        helper.make_node("AveragePool", ["image"], ["restored"], kernel_shape=[2, 2], strides=[2, 2]),
        name="halving.onnx",
        out_shape=("batch", 3, "h2", "w2"),
    )
    with pytest.raises(ModelError, match="4 channels"):
        Restorer.load(four)
    with pytest.raises(ModelError, match="its input's size"):
        Restorer.load(halving)
    with pytest.raises(ModelError, match="checkpoints"):
        Restorer.load(four, backend="torch")
    with pytest.raises(ModelError, match=r"\.onnx"):
        Restorer.load("model.engine")


@pytest.mark.parametrize("pixels", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_wrong_arrays_are_refused(pixels: NDArray[np.generic], identity_onnx: Path) -> None:
    with Restorer.load(identity_onnx) as restorer, pytest.raises(UsageError, match="expected"):
        restorer.restore(pixels)


def test_registry_leads_to_backends() -> None:
    for name in REGISTRY:
        assert backend_class(name).name == name
    with pytest.raises(BackendError, match=r"expected auto, .*onnxruntime"):
        choose_for("tensorflow", None, None)


def test_missing_library_names_its_extra() -> None:
    """With OpenVINO hidden, auto takes ONNX Runtime; with both hidden, the extra is named."""
    script = """
import importlib.util, sys
hidden, real = sys.argv[1].split(","), importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in hidden else real(name, *rest)
from nafnet.runtime.backends import choose_for
print(choose_for(sys.argv[2], None, None).name)
"""
    run = [sys.executable, "-c", script]
    done = subprocess.run([*run, "openvino", "auto"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "onnxruntime"
    for hidden, name, extra in (("openvino,onnxruntime", "auto", "cpu"), ("openvino", "openvino", "openvino")):
        done = subprocess.run([*run, hidden, name], capture_output=True, text=True, check=False)
        assert MissingExtraError.__name__ in done.stderr
        assert f"nafnet-toolchain[{extra}]" in done.stderr


def test_a_value_that_is_not_finite_is_the_images_fault(identity_onnx: Path) -> None:
    pixels = np.zeros((20, 20, 3), np.float32)
    for value in (np.inf, np.nan):
        pixels[3, 4] = value
        with Restorer.load(identity_onnx) as restorer, pytest.raises(ImageError, match="the image holds values"):
            restorer.restore(pixels)


def test_floats_from_0_to_255_are_refused_and_bright_hdr_is_not(identity_onnx: Path) -> None:
    with Restorer.load(identity_onnx) as restorer:
        with pytest.raises(UsageError, match=r"mean of 128.*divide by 255"):
            restorer.restore(np.full((20, 20, 3), 128, np.float32))
        bright = np.full((20, 20, 3), 1, np.float32)
        bright[3:6, 4:9] = 8  # a lamp
        assert np.array_equal(restorer.restore(bright), bright)


@pytest.mark.parametrize("options", [{"batch": 0}, {"batch": -1}, {"threads": 0}])
def test_counts_below_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Restorer.load(**options)  # type: ignore[arg-type]


def test_a_batch_that_the_model_does_not_take_is_refused(make_onnx: MakeOnnx) -> None:
    single = make_onnx(shape=(1, 3, "h", "w"), out_shape=(1, 3, "h", "w"))
    with pytest.raises(BackendError, match="batch 4"):
        Restorer.load(single, backend="onnxruntime", batch=4)
    with Restorer.load(single, backend="onnxruntime") as restorer:
        assert restorer.batch == 1


def test_closed_is_closed(identity_onnx: Path) -> None:
    with Restorer.load(identity_onnx) as restorer:
        restorer.close()
    with pytest.raises(BackendError, match="closed"):
        restorer.restore(np.zeros((20, 20, 3), np.uint8))


def test_restore_file_keeps_its_source_and_its_word(identity_onnx: Path, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.new("RGB", (20, 20), "red").save(source)
    before = source.read_bytes()
    with Restorer.load(identity_onnx) as restorer:
        for target, output in (("photo.png", None), ("out.gif", None), ("out.jpg", Encoding(format="png"))):
            with pytest.raises(UsageError, match=target):
                restore_file(restorer, source, tmp_path / target, output)
        assert restore_file(restorer, source, tmp_path / "out.png").status == "restored"
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.*g*")) == ["out.png", "photo.png"]
    with pytest.raises(UsageError, match="1 to 100"):
        Encoding(quality=0)


@signals
def test_a_signal_after_two_restorers_are_closed(identity_onnx: Path) -> None:
    """Closed in the order in which they came; with a core for each, OpenVINO 2026.4 leaves a freed signal stack."""
    skip_if_absent("openvino")
    script = (
        "import gc, os, signal, sys; from nafnet.runtime import Restorer\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "restorers = [Restorer.load(sys.argv[1], backend='openvino') for _ in range(2)]\n"
        "for restorer in restorers: restorer.close()\n"
        "del restorer, restorers; gc.collect(); os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, identity_onnx], check=False).returncode == 0
