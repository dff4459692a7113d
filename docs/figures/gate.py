"""gate.png: what the gate finds when the bundled model is exported with --fp16. Run: python docs/figures/gate.py"""

from __future__ import annotations

from drawing import BLUE, GREY, ORANGE, save
from matplotlib.figure import Figure

from nafnet.checkpoint import load_checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export
from nafnet.parity import GATES
from nafnet.pretrained import bundled_model


def main() -> None:
    exported = export(load_checkpoint(bundled_model(".safetensors")), ExportOptions(precision="fp16"), print)
    assert exported.verification is not None
    rows = exported.verification.rows
    cases = list(dict.fromkeys(row.case for row in rows))
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.subplots()
    executors = dict.fromkeys(row.ran_on for row in rows if row.decides)
    for ran_on, colour in zip(executors, (BLUE, GREY, ORANGE), strict=True):
        own = [row for row in rows if row.ran_on == ran_on]
        axes.plot([row.psnr for row in own], [cases.index(row.case) for row in own], "o", color=colour, label=ran_on)
    gate = GATES["fp16"].psnr
    axes.axvspan(gate - 8, gate, color=GREY, alpha=0.18, linewidth=0)
    axes.text(gate - 7.6, len(cases) - 1, "refused", color=GREY)
    axes.set_yticks(range(len(cases)), cases)
    axes.invert_yaxis()
    axes.set(xlabel="PSNR to PyTorch fp32, dB (more is closer)", xlim=(gate - 8, None))
    axes.grid(axis="y", color=GREY, alpha=0.25)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    save(figure, "gate.png")


if __name__ == "__main__":
    main()
