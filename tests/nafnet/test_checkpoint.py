"""Checkpoints of every known layout, and the network against a small NumPy reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from nafnet.architecture import LocalPool, NAFNet, channels_last
from nafnet.checkpoint import infer_architecture, load_checkpoint, save_checkpoint
from nafnet.errors import CheckpointError
from nafnet.spec import Architecture, ModelSpec
from nafnet.statedict import PREFIXES, WRAPPERS

PUBLISHED = {
    "sidd": Architecture(width=32, encoder_blocks=(2, 2, 4, 8), middle_blocks=12, decoder_blocks=(2, 2, 2, 2)),
    "gopro": Architecture(width=32, encoder_blocks=(1, 1, 1, 28), middle_blocks=1, decoder_blocks=(1, 1, 1, 1)),
}


class RunsCode:
    """A pickle of it creates a file when it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS, "anything_else"])
@pytest.mark.parametrize("prefix", ["", *PREFIXES, "module.generator.", "model.module."])
def test_every_layout_loads_the_same(wrapper: str | None, prefix: str, tiny_network: NAFNet, tmp_path: Path) -> None:
    state = {prefix + name: tensor for name, tensor in tiny_network.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state}, tmp_path / "file.pth")
    checkpoint = load_checkpoint(tmp_path / "file.pth")
    assert checkpoint.spec.architecture == tiny_network.architecture
    image = torch.rand(1, 3, 13, 10)
    with torch.inference_mode():
        assert torch.equal(checkpoint.build()(image), tiny_network(image))


def test_averaged_weights_are_preferred(tiny_network: NAFNet, tmp_path: Path) -> None:
    state = tiny_network.state_dict()
    averaged = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"params": state, "params_ema": averaged, "epoch": 3}, tmp_path / "both.pth")
    loaded = load_checkpoint(tmp_path / "both.pth").state_dict
    assert all(torch.equal(loaded[name], averaged[name]) for name in averaged)


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def in_a_compiled_block(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace("encoders.0.", "encoders.0._orig_mod."): tensor for name, tensor in state.items()}


State = dict[str, torch.Tensor]
Layout = Callable[[State, State], dict[str, Any]]
COUNTER, LOSS = {"n_averaged": torch.tensor(7)}, {"loss.window": torch.ones(1, 1, 11, 11)}
FIELD: dict[str, tuple[Layout, tuple[str, ...]]] = {
    "timm": (lambda raw, ema: {"epoch": 3, "state_dict": raw, "state_dict_ema": ema}, ()),
    "detr": (lambda raw, ema: {"model": raw, "ema": ema, "optimizer": {"lr": 0.1}}, ()),
    "convnext": (lambda raw, ema: {"model": raw, "model_ema": ema, "args": {"lr": 0.1}}, ()),
    "yolo": (lambda raw, ema: {"model": raw, "ema": {"decay": 0.999, "module": ema}}, ()),
    "shadow": (lambda raw, ema: {"net": raw, "ema": {"num_updates": 5, "shadow": ema}}, ()),
    "empty average": (lambda _, ema: {"model": ema, "ema": {}}, ()),
    "average of something else": (lambda _, ema: {"model": ema, "ema": {"decay": torch.tensor(0.9)}}, ()),
    "AveragedModel": (lambda _, ema: {**COUNTER, **prefixed("module.", ema)}, ("n_averaged",)),
    "AveragedModel of a compiled one": (
        lambda _, ema: {"model": {**COUNTER, **prefixed("module._orig_mod.", ema)}}, ("n_averaged",)
    ),
    "compiled": (lambda _, ema: prefixed("_orig_mod.", ema), ()),
    "compiled, shared": (lambda _, ema: prefixed("module._orig_mod.", ema), ()),
    "compiled in part": (lambda _, ema: in_a_compiled_block(ema), ()),
    "nested": (lambda _, ema: prefixed("module.net.", ema), ()),
    "under any name": (lambda _, ema: prefixed("restorer.backbone.", ema), ()),
    "Lightning": (lambda _, ema: {"state_dict": {**prefixed("model.", ema), **LOSS}, "epoch": 3}, ("loss.window",)),
    "Lightning with an average": (
        lambda raw, ema: {"state_dict": {**prefixed("net.", raw), **prefixed("ema_net.module.", ema)}},
        ("net.beside",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELD)
def test_checkpoints_of_the_field_load(name: str, tiny_network: NAFNet, tmp_path: Path) -> None:
    """Averaged weights first wherever they stand; what is beside the network is named and left out."""
    make, left_out = FIELD[name]
    averaged = dict(tiny_network.state_dict())
    raw = {name: tensor + 1 for name, tensor in averaged.items()}
    torch.save(make(raw, averaged), tmp_path / "file.ckpt")
    loaded = load_checkpoint(tmp_path / "file.ckpt")
    assert all(torch.equal(loaded.state_dict[name], averaged[name]) for name in averaged)
    if left_out == ("net.beside",):
        left_out = tuple(sorted(prefixed("net.", raw)))
    assert loaded.left_out == left_out
    assert (loaded.note is None) == (not left_out)
    assert not left_out or left_out[0] in str(loaded.note)


UNUSABLE: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "nan": (lambda weight: weight.index_fill(0, torch.tensor([1]), torch.nan), "NaN or infinite"),
    "inf": (lambda weight: weight / 0, "NaN or infinite"),
    "int8": (lambda weight: (weight * 100).to(torch.int8), "is int8: quantised weights"),
    "int64": (lambda weight: weight.long(), "is int64"),
    "bool": (lambda weight: weight > 0, "is bool"),
    "complex": (lambda weight: weight.to(torch.complex64), "is complex64"),
    "sparse": (lambda weight: weight.to_sparse(), "is sparse"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_weights_that_cannot_be_used_are_refused_by_name(name: str, tiny_network: NAFNet, tmp_path: Path) -> None:
    change, reason = UNUSABLE[name]
    state = dict(tiny_network.state_dict())
    state["middle_blks.0.conv3.weight"] = change(state["middle_blks.0.conv3.weight"] + 1)
    torch.save({"params": state}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=reason) as refusal:
        load_checkpoint(tmp_path / "file.pth")
    assert "\n" not in str(refusal.value)
    assert "file.pth" in str(refusal.value)
    assert "middle_blks.0.conv3.weight" in str(refusal.value)


def test_halves_and_doubles_are_taken(tiny_network: NAFNet, tmp_path: Path) -> None:
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({name: tensor.to(kind) for name, tensor in tiny_network.state_dict().items()}, tmp_path / "file.pth")
        assert {tensor.dtype for tensor in load_checkpoint(tmp_path / "file.pth").state_dict.values()} == {
            torch.float32
        }


def test_of_two_networks_none_is_chosen(tiny_network: NAFNet, tmp_path: Path) -> None:
    state = dict(tiny_network.state_dict())
    torch.save({**prefixed("teacher.", state), **prefixed("student.", state)}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"2 networks, under teacher\. and student\."):
        load_checkpoint(tmp_path / "file.pth")
    torch.save({**state, **prefixed("_orig_mod.", state)}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match="holds weights twice"):
        load_checkpoint(tmp_path / "file.pth")


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_architecture_is_inferred_from_shapes(name: str, channels: int) -> None:
    from dataclasses import replace

    architecture = replace(PUBLISHED[name], channels=channels)
    with torch.device("meta"):
        model = NAFNet(architecture)
    assert infer_architecture(dict(model.state_dict())) == architecture
    if channels == 3:
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        assert millions == pytest.approx({"sidd": 29.16, "gopro": 17.11}[name], abs=0.005)


def test_pickle_that_runs_code_is_refused_and_does_not_run(tiny_network: NAFNet, tmp_path: Path) -> None:
    trap = tmp_path / "it-ran"
    torch.save({"params": tiny_network.state_dict(), "extra": RunsCode(trap)}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="refused") as refusal:
        load_checkpoint(tmp_path / "evil.pth")
    assert not trap.exists()
    assert "\n" not in str(refusal.value)


def test_what_is_no_nafnet_is_refused_by_name(tiny_network: NAFNet, tmp_path: Path) -> None:
    state = dict(tiny_network.state_dict())
    less = {name: tensor for name, tensor in state.items() if name != "middle_blks.0.conv1.weight"}
    cases: dict[str, tuple[Any, str]] = {
        "linear.pth": (torch.nn.Linear(3, 4).state_dict(), "not a NAFNet"),
        "stereo.pth": ({"intro.weight": state["intro.weight"], "body.0.scam.r_scale": torch.ones(1)}, "NAFSSR"),
        "baseline.pth": ({**state, "encoders.0.0.se.1.weight": torch.ones(1)}, "Baseline"),
        "missing.pth": (less, "middle_blks.0.conv1.weight"),
        "wrong.pth": ({**state, "ending.weight": torch.ones(3, 5, 3, 3)}, "ending.weight"),
        "number.pth": (3, "int"),
        "no-weights.pth": ({"epoch": 3, "lr": 0.1}, "epoch, lr"),
    }
    for name, (content, reason) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=reason):
            load_checkpoint(tmp_path / name)
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    (tmp_path / "text.safetensors").write_text("hello", encoding="utf-8")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "missing.pth").read_bytes()[:5000])
    for name in ("text.pth", "text.safetensors", "cut.pth", "absent.pth"):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles_are_refused_in_one_line(zipped: bool, tiny_network: NAFNet, tmp_path: Path) -> None:
    path, rng = tmp_path / "file.pth", np.random.default_rng(0)
    torch.save({"params": tiny_network.state_dict()}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for _ in range(150):
        path.write_bytes(whole[: rng.integers(len(whole) * 3 // 4)])
        with pytest.raises(CheckpointError) as refusal:
            load_checkpoint(path)
        assert "\n" not in str(refusal.value)


def test_safetensors_keep_weights_and_spec(tiny_network: NAFNet, tmp_path: Path) -> None:
    spec = ModelSpec(architecture=tiny_network.architecture, task="deblur", multiple=4, train_patch=64, overlap=8)
    written = save_checkpoint(tmp_path / "model.safetensors", dict(tiny_network.state_dict()), spec)
    loaded = load_checkpoint(tmp_path / "model.safetensors")
    assert loaded.spec == written
    assert loaded.spec.weights_sha256 is not None
    assert all(torch.equal(loaded.state_dict[n], t) for n, t in tiny_network.state_dict().items())


def test_spec_of_other_weights_is_refused(tiny_network: NAFNet, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    spec = save_checkpoint(path, dict(tiny_network.state_dict()), ModelSpec(architecture=tiny_network.architecture))
    changed = {name: tensor + 1 for name, tensor in tiny_network.state_dict().items()}
    save_file(changed, path, metadata={"nafnet.spec": spec.to_json()})
    with pytest.raises(CheckpointError, match="does not belong"):
        load_checkpoint(path)


def conv1x1(x: NDArray[np.float64], layer: torch.nn.Module) -> NDArray[np.float64]:
    weight, bias = (layer.state_dict()[name].double().numpy() for name in ("weight", "bias"))
    return np.einsum("oi,ihw->ohw", weight[:, :, 0, 0], x) + bias[:, None, None]


def layer_norm(x: NDArray[np.float64], layer: torch.nn.Module) -> NDArray[np.float64]:
    weight, bias = (layer.state_dict()[name].double().numpy() for name in ("weight", "bias"))
    scaled = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-6)
    return scaled * weight[:, None, None] + bias[:, None, None]


def test_block_agrees_with_a_numpy_reference(tiny_network: NAFNet) -> None:
    block = tiny_network.middle_blks[0]
    x = np.random.default_rng(0).normal(0, 2, (16, 9, 7))
    y = conv1x1(layer_norm(x, block.norm1), block.conv1)
    kernels, bias = block.conv2.weight.detach().double().numpy(), block.conv2.bias.detach().double().numpy()
    y = np.stack([ndimage.correlate(p, k[0], mode="constant") + b for p, k, b in zip(y, kernels, bias, strict=True)])
    y = y[:16] * y[16:]
    y = y * conv1x1(y.mean((1, 2), keepdims=True), block.sca[1])
    x1 = x + conv1x1(y, block.conv3) * block.beta.detach().double().numpy()[0]
    y = conv1x1(layer_norm(x1, block.norm2), block.conv4)
    expected = x1 + conv1x1(y[:16] * y[16:], block.conv5) * block.gamma.detach().double().numpy()[0]
    with torch.inference_mode():
        given = block(torch.from_numpy(x[None]).float()).numpy()[0]
    np.testing.assert_allclose(given, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(4, 4), (13, 10), (1, 1), (32, 17)])
def test_layouts_and_sizes_agree(size: tuple[int, int], tiny_network: NAFNet) -> None:
    image = torch.rand(2, 3, *size)
    with torch.inference_mode():
        plain = tiny_network(image)
        assert plain.shape == image.shape
        other = channels_last(tiny_network)(image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("box", [4, 5, 9])
def test_local_pool_is_a_box_mean(box: int) -> None:
    x = torch.rand(1, 2, 11, 8)
    inside = torch.nn.functional.avg_pool2d(x, (min(box, 11), min(box, 8)), stride=1)
    top, left = (min(box, 11) - 1) // 2, (min(box, 8) - 1) // 2
    pads = ((0, 0), (0, 0), (top, min(box, 11) - 1 - top), (left, min(box, 8) - 1 - left))
    expected = np.pad(inside.numpy(), pads, mode="edge")
    np.testing.assert_allclose(LocalPool(box)(x).numpy(), expected, atol=1e-6)


def test_local_pooling_is_the_global_one_where_the_image_fits(tiny_network: NAFNet) -> None:
    local = NAFNet(tiny_network.architecture, local_pooling=True, train_patch=32, dropout=0.5).eval()
    local.load_state_dict(tiny_network.state_dict())
    with torch.inference_mode():
        small, large = torch.rand(1, 3, 48, 48), torch.rand(1, 3, 96, 64)
        torch.testing.assert_close(local(small), tiny_network(small), atol=1e-6, rtol=0)
        assert (local(large) - tiny_network(large)).abs().max() > 1e-4


def test_damaged_contents_are_one_line_and_end(tiny_network: NAFNet, tmp_path: Path) -> None:
    """Keys that are no names, a tensor without dimensions, a dict inside itself, a block with a huge number."""
    state = dict(tiny_network.state_dict())
    endless: dict[str, Any] = {}
    endless["model"] = endless
    cases = {
        "keys": {0: torch.zeros(3)},
        "inner keys": {"params": {0: torch.zeros(3)}},
        "scalar": {**state, "middle_blks.0.conv4.weight": torch.tensor(1.0)},
        "endless": endless,
        "huge": {**state, "middle_blks.90000000.conv1.weight": torch.zeros(1)},
    }
    for name, content in cases.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(CheckpointError, match=f"{name}.pth") as refusal:
            load_checkpoint(tmp_path / f"{name}.pth")
        assert "\n" not in str(refusal.value)
