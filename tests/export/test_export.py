"""Exports against the untouched PyTorch module, as files, by every runtime that is here."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from nafnet.export.exporter import export_onnx
from nafnet.export.parity import measure
from nafnet.export.rewrites import InferenceNAFNet
from torch import nn

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.errors import ModelError, ParityError
from nafnet.onnxfile import inspect_onnx
from nafnet.spec import Architecture, ModelSpec, Norm

SMALL = Architecture(width=8, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
# Wide enough at the bottom for both ways of subtracting the mean.
WIDE = Architecture(width=40, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(0,))
NORMS: tuple[Norm, ...] = ("conv", "fused", "manual")


def random_network(architecture: Architecture) -> NAFNet:
    """A network whose every parameter matters: norms off 1 and 0, branches open."""
    torch.manual_seed(0)
    model = NAFNet(architecture)
    for name, parameter in model.named_parameters():
        if name.endswith(("beta", "gamma")):
            nn.init.normal_(parameter, 0, 0.5)
        elif ".norm" in name:
            nn.init.normal_(parameter, float(name.endswith("weight")), 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, dict(random_network(SMALL).state_dict()), ModelSpec(architecture=SMALL, multiple=4))
    return path


@pytest.fixture(scope="module", params=["conv", "fused"])
def exported(request: pytest.FixtureRequest, checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / f"{request.param}.onnx"
    export_onnx(load_checkpoint(checkpoint_path), path, norm=request.param)
    return path


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("architecture", [SMALL, WIDE], ids=["small", "wide"])
def test_rewrites_change_nothing(norm: Norm, architecture: Architecture) -> None:
    model = random_network(architecture)
    image = torch.rand(2, 3, 48, 32)
    with torch.inference_mode():
        expected, given = model(image), InferenceNAFNet(model, norm)(image)
    assert expected.std() > 0.1
    torch.testing.assert_close(given, expected, atol=5e-6, rtol=0)


def test_rewrites_leave_the_module_alone() -> None:
    model = random_network(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    InferenceNAFNet(model, "conv")
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
    reference = load_checkpoint(checkpoint_path).build()
    broken = load_checkpoint(checkpoint_path).build()
    with torch.no_grad():
        broken.middle_blks[0].beta += 1e-3

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return broken(torch.from_numpy(batch)).numpy()

    with pytest.raises(ParityError, match=r"dB .* from PyTorch") as refusal:
        measure(reference, run)
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gate_refuses_values_that_are_not_finite(checkpoint_path: Path, bad: float) -> None:
    with pytest.raises(ParityError, match="not finite"):
        measure(load_checkpoint(checkpoint_path).build(), lambda batch: np.full_like(batch, bad))


def test_refused_export_leaves_nothing(checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rewritten network loses its last layer's weights, as a wrong rewrite might; no file may appear."""
    import nafnet.export.exporter as exporter

    class Wrong(InferenceNAFNet):
        def __init__(self, model: NAFNet, norm: Norm) -> None:
            super().__init__(model, norm)
            self.ending = nn.Conv2d(8, 3, 3, padding=1)

    monkeypatch.setattr(exporter, "InferenceNAFNet", Wrong)
    with pytest.raises(ParityError):
        export_onnx(load_checkpoint(checkpoint_path), tmp_path / "wrong.onnx")
    assert list(tmp_path.iterdir()) == []


def test_local_pooling_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "local.safetensors"
    spec = ModelSpec(architecture=SMALL, multiple=4, local_pooling=True)
    save_checkpoint(path, dict(random_network(SMALL).state_dict()), spec)
    with pytest.raises(ModelError, match="local pooling"):
        export_onnx(load_checkpoint(path), tmp_path / "local.onnx")


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("nafnet-export")
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_command_writes_a_file_that_says_what_it_is(checkpoint_path: Path, tmp_path: Path) -> None:
    done = command(checkpoint_path, "-o", "out", "--norm", "fused", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    assert inspect_onnx(tmp_path / "out" / "small.onnx").norm == "fused"


def test_command_refuses_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_text("not a checkpoint", encoding="utf-8")
    done = command("other.pth", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "other.pth" in done.stderr
    assert not list(tmp_path.glob("*.onnx"))
