"""Exports against the untouched PyTorch module, as files, by every runtime that is here."""

from __future__ import annotations

import collections
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from skimage import metrics
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint
from nafnet.errors import ParityError
from nafnet.export.exporter import RefusalError, export_onnx
from nafnet.export.gate.cases import cases
from nafnet.export.gate.executors import Executor
from nafnet.export.gate.parity import Row, compare
from nafnet.export.gate.reference import Reference
from nafnet.export.gate.verification import Verification
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.onnxfile import inspect_onnx
from nafnet.parity import Precision
from nafnet.spec import Architecture, Norm, WireType
from tests.export.conftest import nafnet_export

SMALL = Architecture(width=8, encoder_blocks=(1, 0), middle_blocks=1, decoder_blocks=(0, 1))
# Wide enough at the bottom for both ways of subtracting the mean.
WIDE = Architecture(width=40, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(0,))
NORMS: tuple[Norm, ...] = ("rms", "conv", "fused", "fused-fp32", "manual")
MakeNetwork = Callable[[Architecture], NAFNet]


@pytest.fixture(scope="module", params=["rms", "conv", "fused"])
def exported(request: pytest.FixtureRequest, checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / f"{request.param}.onnx"
    export_onnx(load_checkpoint(checkpoint_path), path, norm=request.param)
    return path


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", [SMALL, WIDE], ids=["small", "wide"])
def test_rewrites_change_nothing(norm: Norm, architecture: Architecture, make_network: MakeNetwork) -> None:
    model = make_network(architecture)
    image = torch.rand(2, 3, 48, 32)
    with torch.inference_mode():
        expected, given = model(image), InferenceNAFNet(model, norm)(image)
    assert expected.std() > 0.1
    torch.testing.assert_close(given, expected, atol=5e-6, rtol=0)


def test_rewrites_leave_the_module_alone(make_network: MakeNetwork) -> None:
    model = make_network(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    InferenceNAFNet(model, "rms")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (3, 3, 52, 36), (1, 3, 128, 256)])
def test_file_matches_pytorch_at_any_shape(exported: Path, checkpoint_path: Path, shape: tuple[int, ...]) -> None:
    batch = np.random.default_rng(1).random(shape, np.float32)
    with torch.inference_mode():
        expected = load_checkpoint(checkpoint_path).build()(torch.from_numpy(batch)).numpy()
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"image": batch})
    np.testing.assert_allclose(given, expected, atol=1e-5, rtol=0)


def test_graph_has_no_leftovers(exported: Path) -> None:
    graph = onnx.load(exported).graph
    count = collections.Counter(node.op_type for node in graph.node)
    assert not count.keys() & {"Split", "Range", "Gather", "If", "Loop", "Shape", "Slice", "Pad"}
    norms = 2 * (sum(SMALL.encoder_blocks) + SMALL.middle_blocks + sum(SMALL.decoder_blocks))
    assert count["LayerNormalization"] == (norms if exported.stem == "fused" else 0)
    assert not any(node.metadata_props for node in graph.node), "stack traces hold paths of the exporting machine"


def test_spec_travels_in_the_file(exported: Path, checkpoint_path: Path) -> None:
    spec, source = inspect_onnx(exported), load_checkpoint(checkpoint_path).spec
    assert spec.norm == exported.stem
    assert spec.weights_sha256 == source.weights_sha256
    assert spec.architecture == SMALL
    assert spec.parity is not None
    assert spec.parity.passed
    assert spec.parity.psnr >= 90


def test_gate_refuses_a_model_that_differs(checkpoint_path: Path) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    broken = checkpoint.build()
    with torch.no_grad():
        broken.middle_blks[0].beta += 1e-3

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return broken(torch.from_numpy(batch)).numpy()

    found = Verification(Reference(checkpoint.build()), checkpoint.spec)
    found.compare_all(cases(checkpoint.spec), [Executor(name="broken", run=run, precision="fp32")])
    error = found.refusal()
    assert isinstance(error, ParityError)
    assert "below 90" in str(error)
    assert error.exit_code == 3


def row(expected: np.ndarray, given: np.ndarray, precision: Precision, wire: WireType = "float32") -> Row:
    return compare("case", "executor", given.astype(np.float32), expected.astype(np.float32), precision, wire)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gate_refuses_values_that_are_not_finite(bad: float) -> None:
    given = np.full((1, 3, 10, 10), 0.5)
    given[0, 0, 0, :3] = bad
    assert row(np.full_like(given, 0.5), given, "bf16").refused == "1% of the values are not finite"


def test_gate_figures_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(0)
    expected = rng.random((1, 3, 100, 100)).astype(np.float32)
    given = expected + rng.normal(0, 1e-4, expected.shape).astype(np.float32)
    found = row(expected, given, "fp16")
    error = np.abs(given.astype(np.float64) - expected)
    assert found.psnr == pytest.approx(metrics.peak_signal_noise_ratio(expected, given, data_range=1), abs=0.01)
    assert found.max_abs == pytest.approx(error.max())
    assert found.p999 == pytest.approx(np.sort(error.ravel())[int(0.999 * error.size)], rel=0.01)


@pytest.mark.parametrize(
    ("precision", "difference", "count", "refused"),
    [
        ("fp32", 0.9e-4, 1, None),
        ("fp32", 1.1e-4, 1, "largest"),
        ("fp32", 3.3e-5, 30_000, "below 90"),
        ("fp16", 0.9 / 255, 1, None),
        ("fp16", 1.1 / 255, 1, "largest"),
        ("fp16", 0.6 / 255, 200, "99.9th percentile"),
        ("fp16", 1.1e-3, 30_000, "below 60"),
        ("bf16", 0.5, 1, None),
        ("bf16", 6e-3, 30_000, "below 45"),
        ("int8", 1.1e-2, 30_000, "below 40"),
    ],
)
def test_gate_is_that_of_the_design(precision: Precision, difference: float, count: int, refused: str | None) -> None:
    """On 30,000 values, `count` of them wrong."""
    expected = np.full(30_000, 0.25)
    given = expected.copy()
    given[:count] += difference
    found = row(expected.reshape(1, 3, 100, 100), given.reshape(1, 3, 100, 100), precision).refused
    assert found is None if refused is None else refused in str(found)


def test_rounding_at_the_border_is_no_error() -> None:
    expected = np.random.default_rng(0).uniform(-0.2, 1.2, (1, 3, 64, 64)).astype(np.float32)
    eight_bits = np.clip(np.rint(expected * 255), 0, 255) / 255
    assert row(expected, eight_bits, "fp32", "uint8").refused is None
    assert row(expected, np.clip(eight_bits + 1 / 255, 0, 1), "fp32", "uint8").refused
    assert row(expected, expected.astype(np.float16), "fp32", "float16").refused is None


def test_refused_export_leaves_nothing(checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rewritten network loses its last layer's weights, as a wrong rewrite might; no file may appear."""
    from nafnet.export.attempts import attempt

    class Wrong(InferenceNAFNet):
        def __init__(self, model: NAFNet, norm: Norm, **options: Any) -> None:
            super().__init__(model, norm, **options)
            self.ending = nn.Conv2d(8, 3, 3, padding=1)

    monkeypatch.setattr(attempt, "InferenceNAFNet", Wrong)
    with pytest.raises(RefusalError) as refusal:
        export_onnx(load_checkpoint(checkpoint_path), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []
    assert [attempt.split(":")[0] for attempt in refusal.value.attempts] == ["norm rms", "norm fused", "norm manual"]


def test_command_writes_a_file_that_says_what_it_is(checkpoint_path: Path, tmp_path: Path) -> None:
    """The one process of its own: all else of the command is asked for in this one."""
    program = Path(sys.executable).with_name("nafnet-export")
    words = [program, checkpoint_path, "-o", "out", "--norm", "fused"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    assert inspect_onnx(tmp_path / "out" / "small-fused.onnx").norm == "fused"


def test_command_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_text("not a checkpoint", encoding="utf-8")
    done = nafnet_export("other.pth", cwd=tmp_path)
    assert done.returncode == 2
    assert "other.pth: this is plain text; expected a PyTorch checkpoint" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("*.onnx"))
