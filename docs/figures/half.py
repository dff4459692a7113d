"""half.png: fp16 as it is stored on a GPU, for a network whose inner values grow. Run: python docs/figures/half.py"""

from __future__ import annotations

import numpy as np
import torch
from drawing import BLUE, GREY, ORANGE, clean_and_noisy, save
from matplotlib.figure import Figure
from torch import Tensor, nn

from nafnet.architecture import NAFNet
from nafnet.checkpoint import load_checkpoint
from nafnet.export.gate.half_storage import as_stored
from nafnet.export.gate.parity import GATES
from nafnet.export.gate.verification import AMPLIFIED, session
from nafnet.export.network.graph import to_onnx
from nafnet.export.network.rewrites import InferenceNAFNet
from nafnet.export.network.scaling import amplifying, residual_peaks, scaled
from nafnet.metrics import psnr
from nafnet.pretrained import bundled_model

TARGETS = (10, 50, 175, 300, 450, 600, 1000, 3000)


class PlainHalf(nn.Module):
    """What `model.half()` gives; float32 at its border."""

    def __init__(self, model: NAFNet) -> None:
        super().__init__()
        self.model = model.half()

    def forward(self, image: Tensor) -> Tensor:
        return self.model.restore_padded(image.half()).float()


def main() -> None:
    checkpoint = load_checkpoint(bundled_model(".safetensors"))
    network, spec = checkpoint.build(), checkpoint.spec
    noisy = clean_and_noisy("astronaut")[1][:256, :256]
    batch = np.ascontiguousarray(noisy.transpose(2, 0, 1)[None])
    peaks = residual_peaks(network, [batch])
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()

    curves: dict[str, list[float]] = {"plain": [], "ours": []}
    for target in TARGETS:
        louder = scaled(network, amplifying(peaks, target), keep_epsilon=True)
        forms = {"ours": InferenceNAFNet(louder, "fused", dtype=torch.float16), "plain": PlainHalf(louder)}
        for name, module in forms.items():
            run = session(as_stored(to_onnx(module, spec.channels, spec.multiple)), spec)
            curves[name].append(psnr(run(batch), expected, peak=1.0))
            print(f"{name} at {target}: {curves[name][-1]:.1f} dB", flush=True)

    figure = Figure(figsize=(7, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(TARGETS, curves["ours"], "o-", color=BLUE, label="nafnet-export --fp16")
    axes.semilogx(TARGETS, curves["plain"], "o-", color=ORANGE, label="model.half(), exported")
    gate = GATES["fp16"].psnr
    axes.axhline(gate, color=GREY, linestyle="--", linewidth=1)
    axes.text(TARGETS[0], gate + 1, f"the gate: {gate:g} dB", color=GREY)
    for target in AMPLIFIED:
        axes.axvline(target, color=GREY, linestyle=":", linewidth=1)
    axes.set(
        xlabel="largest value in the residual stream at the bottleneck (dotted: what the gate tries)",
        ylabel="PSNR to PyTorch fp32, dB", ylim=(min(curves["plain"]) - 4, max(curves["ours"]) + 5),
    )  # fmt: skip
    axes.legend(loc="center left", bbox_to_anchor=(0, 0.3))
    save(figure, "half.png")


if __name__ == "__main__":
    main()
