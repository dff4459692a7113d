"""TensorRT-RTX builds our graphs for real, without a GPU; what needs one is tested on the library's own words."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nafnet.checkpoint import Checkpoint
from nafnet.errors import EngineError, ParityError, UsageError
from nafnet.export.attempts.attempt import Exported, ExportOptions
from nafnet.export.engines.builder import EngineSettings, build
from nafnet.export.engines.layers import refuse_wrong_precision, shares_of_engine
from nafnet.export.exporter import export
from nafnet.export.formats import write_formats
from nafnet.export.formats.target import Target
from nafnet.parity import Precision
from nafnet.spec import ModelSpec, Norm, WireType

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64")

BOX = (1, 3, 8, 8), (2, 3, 64, 64), (4, 3, 96, 96)


def unproven(checkpoint: Checkpoint, **options: object) -> Exported:
    return export(checkpoint, ExportOptions(verify=False, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "norm", "local", "kind"),
    [
        ("fp32", "conv", False, "Float"),
        ("fp32", "rms", False, "Float"),
        ("fp32", "fused", True, "Float"),
        ("fp16", "fused", False, "Half"),
        ("fp16", "fused-fp32", True, "Half"),
        ("fp16", "conv", False, "Half"),
        ("bf16", "fused", False, "BFloat16"),
        ("fp16", "manual", False, "Half"),
    ],
)
def test_every_form_builds_in_its_own_type(
    precision: Precision, norm: Norm, local: bool, kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    exported = unproven(checkpoint, precision=precision, norm=norm, local_pooling=local)
    log = tmp_path / "build.log"
    settings = EngineSettings(compute_capabilities=("SM80", "sm89", "SM120"), log=log)
    steps: list[str] = []
    built = build(
        trt, "tensorrt-rtx", exported.model.SerializeToString(), exported.spec, BOX, settings,
        lambda *step: steps.append(step[0]),
    )  # fmt: skip
    assert built.engine.layers[kind] >= 1 / 3, "the rest are norms in fp32 and their casts"
    assert sum(built.engine.layers.values()) == pytest.approx(1, abs=1e-3)
    assert built.engine.layers_read_from == "network"
    assert built.engine.plan_sha256 == hashlib.sha256(built.plan).hexdigest()
    assert (built.engine.device, built.engine.profiles) == ("SM80, SM89, SM120", (BOX,))
    assert len(set(steps)) > 1
    said = log.read_text(encoding="utf-8")
    assert "[INFO]" in said
    assert not [line for line in said.splitlines() if line.startswith("[WARNING]") and "overflow" in line.lower()]


@pytest.mark.parametrize("io", ["float16", "uint8"])
def test_borders_build(io: WireType, checkpoint: Checkpoint, tmp_path: Path) -> None:
    exported = unproven(checkpoint, precision="fp16", io=io, tile=64, batch=(1, 2, 4))
    target = Target(folder=tmp_path, stem="net", engine=EngineSettings(), note=lambda _: None)
    plan, beside = write_formats(exported, ("tensorrt-rtx",), target)
    engine = ModelSpec.from_json(beside.read_text(encoding="utf-8")).engine
    assert engine is not None
    assert engine.plan_sha256 == hashlib.sha256(plan.read_bytes()).hexdigest()
    side = (64, 64, 3) if io == "uint8" else (3, 64, 64)
    assert engine.profiles == (((1, *side), (2, *side), (4, *side)),)


def test_fp32_graph_called_fp16_is_refused(checkpoint: Checkpoint) -> None:
    """What a tool gives that sets a flag which is not there any more."""
    exported = unproven(checkpoint)
    claimed = exported.spec.replace(precision="fp16")
    with pytest.raises(ParityError, match=r"asked for fp16, and its layers are 100% Float") as refusal:
        build(trt, "tensorrt-rtx", exported.model.SerializeToString(), claimed, BOX, EngineSettings())
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (EngineSettings(compute_capabilities=("SM90",)), "--compute-capability SM90: .* builds for .*SM89"),
        (EngineSettings(hardware_compatible=True), "no such mode"),
        (EngineSettings(version_compatible=True), "--version-compatible: .*its own version's plans alone"),
    ],
)
def test_what_the_library_has_not_is_refused(settings: EngineSettings, reason: str, checkpoint: Checkpoint) -> None:
    exported = unproven(checkpoint)
    with pytest.raises(UsageError, match=reason):
        build(trt, "tensorrt-rtx", exported.model.SerializeToString(), exported.spec, BOX, settings)


def test_unreadable_graph_is_one_line(checkpoint: Checkpoint) -> None:
    with pytest.raises(EngineError, match="cannot parse") as error:
        build(trt, "tensorrt-rtx", b"not a graph", checkpoint.spec, BOX, EngineSettings())
    assert "\n" not in str(error.value)


INTERRUPTED = """
import signal
from nafnet.export.cli import main
from nafnet.steps import Display
step = Display.step
def interrupting(display, what, done, total):
    step(display, what, done, total)
    print("STEP", what)
    if what.endswith("Cloning network graph") and done == 0:
        signal.raise_signal(signal.SIGINT)
Display.step = interrupting
main()
"""
"""nafnet-export, to which Ctrl-C comes in the midst of the builder's work."""


def test_ctrl_c_stops_the_build_and_leaves_nothing(checkpoint_path: Path, tmp_path: Path) -> None:
    words = [checkpoint_path, "--no-verify", "--norm", "fused", "--format", "tensorrt-rtx", "-o", "out"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    phases = {line.rpartition(": ")[2] for line in done.stdout.splitlines() if "builds the engine: " in line}
    assert "Cloning network graph" in phases
    assert phases <= {"Building engine", "Cloning network graph"}, "it was stopped, and not waited for"
    assert list((tmp_path / "out").iterdir()) == []


def layer(**output: str) -> dict[str, object]:
    return {"Name": "layer", "LayerType": "CaskConvolution", "Outputs": [{"Name": "y", "Dimensions": [1], **output}]}


@pytest.mark.parametrize(
    "half",
    [
        {"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"},  # TensorRT 10
        {"Format/Datatype": "Half"},
        {"DataType": "Half", "Format": "Row major linear FP16 format (kLINEAR)"},  # TensorRT 11
    ],
)
def test_layers_are_read_from_the_inspector(half: dict[str, str]) -> None:
    single = {"Format/Datatype": "Row major linear FP32"}
    layers = [layer(**half), layer(**half), layer(**half), layer(**single), {"Name": "wait", "Outputs": []}]
    shares = shares_of_engine(json.dumps({"Layers": [*layers, "a name alone"]}))
    assert shares == {"Half": 0.75, "Float": 0.25}
    refuse_wrong_precision(shares, "fp16")
    with pytest.raises(ParityError, match="75% Half, 25% Float"):
        refuse_wrong_precision(shares, "bf16")


def test_an_engine_without_types_is_refused() -> None:
    with pytest.raises(ParityError, match="none with a type"):
        refuse_wrong_precision(shares_of_engine('{"Layers": ["a", "b"]}'), "fp16")


@pytest.mark.parametrize("border", ["UInt8", "Row major linear UInt8", "UINT8"])
def test_a_border_of_uint8_is_no_computing_in_int8(border: str) -> None:
    layers = [layer(**{"Format/Datatype": kind}) for kind in ("Half", "Half", "Half", border)]
    shares = shares_of_engine(json.dumps({"Layers": layers}))
    assert shares == {"Half": 1.0}
    refuse_wrong_precision(shares, "fp16")
    with pytest.raises(ParityError, match="100% Half; expected at least 5% Int8"):
        refuse_wrong_precision(shares, "int8")
    assert shares_of_engine(json.dumps({"Layers": layers[3:]})) == {}, "one fused layer says nothing of what is in it"
    assert shares_of_engine(json.dumps({"Layers": [layer(**{"Format/Datatype": "Int8"})]})) == {"Int8": 1.0}
