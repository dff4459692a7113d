"""Which graphs the bench compares, and of which it counts the work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nafnet.architecture import NAFNet
from nafnet.benchmarks.measure.roofline import count
from nafnet.benchmarks.rows.exports import Exports
from nafnet.checkpoint import load_checkpoint, save_checkpoint
from nafnet.errors import ModelError
from nafnet.spec import Architecture, ModelSpec

SHALLOW = Architecture(width=4, encoder_blocks=(1,), middle_blocks=0, decoder_blocks=(0,))
"""Of one block: the exporter takes seconds for each."""


def test_local_pooling_has_no_plain_export_and_its_work_is_counted(tmp_path: Path) -> None:
    """Beyond the box, SCA's convolution has a pixel's work at each pixel; PyTorch's own counter is the oracle."""
    path, architecture = tmp_path / "local.safetensors", SHALLOW
    spec = ModelSpec(
        architecture=architecture, multiple=architecture.multiple, local_pooling=True, train_patch=32, tile=32,
        overlap=8,
    )  # fmt: skip
    save_checkpoint(path, dict(NAFNet(architecture).state_dict()), spec)
    exports = Exports(load_checkpoint(path), tmp_path, "rms")
    with pytest.raises(ModelError, match="one size alone"):
        exports.naive()
    network = load_checkpoint(path).build()
    for side in (32, 128):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, side, side))
        counted = count(exports.counted(side), (1, 3, side, side)).flops
        assert counted == pytest.approx(counter.get_total_flops(), rel=0.001)


def test_a_large_one_is_made_in_a_process_of_its_own(small: Path, exports: Exports, tmp_path: Path) -> None:
    """Whose memory goes with it."""
    apart = Exports(load_checkpoint(small), tmp_path / "apart", "rms")
    (tmp_path / "apart").mkdir()
    assert not apart.apart, "a small one is not worth a process"
    apart.apart = True
    there, here = apart.ours("fp32"), exports.ours("fp32")
    assert there.spec == here.spec
    assert there.path.read_bytes() == here.path.read_bytes()
