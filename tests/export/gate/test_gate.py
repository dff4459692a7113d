"""What the gate must see: each test breaks an export in one way, and the gate refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nafnet.architecture import NAFNet
from nafnet.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from nafnet.errors import CheckpointError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import RefusalError, export
from nafnet.export.gate import executors, verification
from nafnet.export.gate.executors import Executor
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.report import tiling_line, write_parity_report
from nafnet.export.gate.truth import measure_loss
from nafnet.export.gate.verification import AMPLIFIED, TilingError, Verification
from nafnet.export.network import rewrites
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import amplifying, calming, residual_peaks, scaled
from nafnet.spec import Architecture, ModelSpec
from tests.export.conftest import Recorded

MakeNetwork = Callable[[Architecture], NAFNet]
WHITE_BATCH = np.ones((1, 3, 16, 16), np.float32)


def test_every_image_of_a_batch_is_compared(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the tile is fixed and no batch was asked for, for the graph's batch is free."""
    honest = InferenceNAFNet.forward

    def first_alone(self: InferenceNAFNet, image: Tensor) -> Tensor:
        return honest(self, image[:1]).expand_as(image)

    monkeypatch.setattr(InferenceNAFNet, "forward", first_alone)
    with pytest.raises(RefusalError):
        export(checkpoint, ExportOptions(tile=64))


def test_local_pooling_is_compared_where_it_does_something(
    make_network: MakeNetwork, small_architecture: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tiles smaller than the box, as released models have them, none of the other shapes is larger than it."""
    spec = ModelSpec(architecture=small_architecture, multiple=4, train_patch=64, tile=64)
    save_checkpoint(tmp_path / "net.safetensors", dict(make_network(small_architecture).state_dict()), spec)
    loaded = load_checkpoint(tmp_path / "net.safetensors")
    options = ExportOptions(local_pooling=True)
    assert export(loaded, options).spec.verified
    monkeypatch.setattr(rewrites, "BoxMean", lambda box: rewrites.GlobalMean())  # noqa: ARG005
    with pytest.raises(RefusalError):
        export(loaded, options)


def test_amplified_rows_say_how_large_the_stream_became(half_export: Recorded) -> None:
    found = half_export.exported.verification
    assert found is not None
    names = {row.case for row in found.rows}
    assert {f"inner values to {target:.0f}" for target in AMPLIFIED} <= names


def test_what_overflows_only_when_amplified_is_refused(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    network = checkpoint.build()
    spec = checkpoint.spec.replace(precision="fp16", tile=64)
    found = Verification(Reference(network), spec)
    louder: list[NAFNet] = []

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            result: np.ndarray = louder[-1](torch.from_numpy(batch)).numpy()
        if residual_peaks(louder[-1], [batch])[-1] > 500:
            return result * np.float32(np.inf)
        return result

    def remade(network: NAFNet) -> bytes:
        louder.append(network)
        return b""

    naive = [Executor(name="naive", run=run, precision="fp16")]
    monkeypatch.setattr(verification, "executors", lambda content, spec: naive)  # noqa: ARG005
    found.compare_remade(remade, np.random.default_rng(0).random((1, 3, 64, 40), np.float32))
    assert [row.refused is None for row in found.rows] == [True, True, False]
    assert not found.passed


def test_stream_is_measured_without_a_block_at_the_bottleneck(make_network: MakeNetwork) -> None:
    network = make_network(Architecture(width=8, encoder_blocks=(1, 1), middle_blocks=0, decoder_blocks=(1, 1)))
    batch = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    peaks = residual_peaks(network, [batch])
    assert min(peaks) > 0
    louder = scaled(network, amplifying(peaks, 175.0), keep_epsilon=True)
    assert residual_peaks(louder, [batch])[-1] == pytest.approx(175, rel=1e-4)
    with torch.inference_mode():
        image = torch.from_numpy(batch)
        torch.testing.assert_close(louder(image), network(image), atol=1e-5, rtol=0)


def test_peaks_that_are_not_finite_scale_nothing() -> None:
    assert calming([np.inf, np.nan, 16.0, 1.0]) == [1.0, 1.0, 0.5, 1.0]
    assert amplifying([1.0, np.nan], 175.0) == [1.0, 1.0]


def test_nothing_that_is_not_finite_passes(checkpoint: Checkpoint) -> None:
    def nothing(batch: np.ndarray) -> np.ndarray:
        return batch * np.float32(np.nan)

    loss = measure_loss(lambda batch: batch, nothing, [(WHITE_BATCH, WHITE_BATCH * 0.9)])
    assert loss is not None
    assert loss.refused
    found = Verification(Reference(checkpoint.build()), checkpoint.spec)
    found.measure_tiling(nothing)
    assert not found.passed
    found.tiling = TilingError(image=(96, 128), tile=64, overlap=16, tiling_psnr=50.0, backend_psnr=120.0)
    assert found.passed


def test_tiling_is_measured_apart(plain_export: Recorded) -> None:
    found = plain_export.exported.verification
    assert found is not None
    assert found.tiling is not None
    assert 10 < found.tiling.tiling_psnr < 90, "SCA sees another mean in each tile"
    assert found.tiling.backend_psnr > 90
    line = tiling_line(found)
    assert line is not None
    assert f"the whole picture: {found.tiling.tiling_psnr:.1f} dB, in PyTorch alike. Export against PyTorch" in line


def test_weights_that_overflow_are_refused_with_a_report(
    checkpoint: Checkpoint, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Each is a finite number, so that they load; their products are not."""
    weights = dict(checkpoint.state_dict)
    weights["middle_blks.0.conv5.weight"] = weights["middle_blks.0.conv5.weight"].clone()
    weights["middle_blks.0.conv5.weight"][0, :2, 0, 0] = 1e30
    save_checkpoint(tmp_path / "overflow.safetensors", weights, checkpoint.spec)
    with pytest.raises(RefusalError) as refused:
        export(load_checkpoint(tmp_path / "overflow.safetensors"), ExportOptions(precision="fp16"))
    found = refused.value.verification
    write_parity_report(tmp_path / "report.json", found.spec, found, refused.value.attempts, str(refused.value))
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["refused"]
    assert not [warning for warning in recwarn if "invalid value" in str(warning.message)]


@pytest.mark.parametrize("change", [{"channels": 1}, {"multiple": 3}, {"multiple": 2}])
def test_spec_that_is_not_its_weights_is_refused(
    change: dict[str, int], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "net.safetensors", dict(checkpoint.state_dict), checkpoint.spec.replace(**change))
    with pytest.raises(CheckpointError, match="does not belong to these weights"):
        load_checkpoint(tmp_path / "net.safetensors")


def test_a_library_that_cannot_run_the_graph_refuses_it_in_a_line(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when it loads the graph nor when it is asked for more than the comparisons."""

    def broken(*_: object) -> None:
        raise RuntimeError("no kernel\nfor this processor")

    monkeypatch.setattr(executors, "in_openvino", broken)
    with pytest.raises(RefusalError, match=r"openvino: cannot run it \(no kernel for this processor\)"):
        export(checkpoint, ExportOptions(norm="rms"))
