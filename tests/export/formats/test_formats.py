"""Formats, the report, `--inspect` and the command itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from nafnet.checkpoint import Checkpoint
from nafnet.errors import MissingExtraError, ModelError
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.exporter import export, photograph_size
from nafnet.export.formats import FORMATS, engine_at_hand
from nafnet.export.formats.tensorrt_plan import require
from nafnet.export.inspection import inspect
from nafnet.onnxfile import embed_spec, inspect_onnx
from nafnet.spec import ModelSpec
from tests.export.conftest import nafnet_export


def test_every_format_has_its_file() -> None:
    for module in FORMATS.values():
        assert importlib.util.find_spec(module) is not None
        assert callable(importlib.import_module(module).write)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_missing_tensorrt_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"nafnet-toolchain\[tensorrt\]"):
        require()
    done = nafnet_export("--format", "tensorrt", cwd=tmp_path)
    assert done.returncode == 2
    assert "[tensorrt]" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_command_writes_what_it_says(checkpoint_path: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    both = ("--format", "onnx", "--format", "tensorrt-rtx")
    words = ("--fp16", *both, "-o", "out", "--batch", "1:2:2", "--report", "report.json")
    done = nafnet_export(checkpoint_path, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set("\x1b\r\b") & set(done.stdout + done.stderr), "a log gets no control characters"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"small-fp16.onnx", "small-fp16-rtx.plan", "small-fp16-rtx.plan.json"}
    spec = inspect_onnx(tmp_path / "out" / "small-fp16.onnx")
    assert (spec.precision, spec.norm, spec.verified) == ("fp16", "fused", True)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["refused"] is None
    count = len(report["comparisons"])
    assert report["spec"]["parity"]["cases"] == count
    last = done.stdout.splitlines()[-1]
    deciding = sum(row["decides"] for row in report["comparisons"])
    assert last.startswith(f"all {deciding} comparisons passed: the export gives what PyTorch gives")
    assert last.endswith("says nothing about how good the pictures are")
    assert "takes about a minute" in done.stdout.splitlines()[1], "before the work"
    assert {row["ran_on"] for row in report["comparisons"]} >= {"onnxruntime", "openvino", "fp16 storage"}
    assert {"tiling_psnr", "backend_psnr"} <= report["tiling"].keys()
    sizes = {tuple(row["shape"]) for row in report["comparisons"]}
    assert {(1, 3, 4, 4), (2, 3, 64, 64)} <= sizes, "the corners of the profile"
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width == 3 * ((picture.width - 8) // 3) + 8
    lines = dict(inspect(tmp_path / "out" / "small-fp16-rtx.plan"))
    assert lines["kind"].startswith("tensorrt-rtx")
    assert "Half" in lines["layers"]
    (tmp_path / "out" / "small-fp16-rtx.plan").write_bytes(b"another plan")
    with pytest.raises(ModelError, match="describes another plan"):
        inspect(tmp_path / "out" / "small-fp16-rtx.plan")


def test_refusal_leaves_the_report_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Exit 3, no artefact, and a report that says why, with a picture."""
    from nafnet.checkpoint import save_checkpoint

    state = dict(checkpoint.state_dict)
    state["middle_blks.0.conv4.weight"] = state["middle_blks.0.conv4.weight"] * 3e3
    save_checkpoint(tmp_path / "wild.safetensors", state, checkpoint.spec)
    done = nafnet_export("wild.safetensors", "--fp16", "--format", "onnx", "--norm", "fused", "-o", "out",
                   "--report", "why.json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "passed" not in done.stdout.splitlines()[-1]
    assert list((tmp_path / "out").iterdir()) == []
    report = json.loads((tmp_path / "why.json").read_text(encoding="utf-8"))
    assert report["refused"] in done.stderr.splitlines()[-1]
    assert any(row["refused"] for row in report["comparisons"])
    assert len(report["attempts"]) == 2
    assert (tmp_path / "why.png").is_file()


def test_unverified_says_so_ever_after(checkpoint_path: Path, tmp_path: Path) -> None:
    done = nafnet_export(checkpoint_path, "--fp16", "--no-verify", "-o", "made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *before, last = done.stdout.splitlines()
    assert "not verified" in last
    path = tmp_path / "made" / "small-fp16-unverified.onnx"
    assert list(path.parent.iterdir()) == [path], "an engine is not built unless it is asked for"
    engine = engine_at_hand() if torch.cuda.is_available() else None
    assert (before[-1] == f"an engine of it can be built here, too: --format {engine}") == (engine is not None)
    assert inspect_onnx(path).verified is False
    assert '"verified": false' in inspect_onnx(path).to_json()
    assert dict(inspect(path))["parity"] == "not verified: exported with --no-verify"
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    program = Path(sys.executable).with_name("nafnet-run")
    ran = subprocess.run(
        [program, "--model", path, "a.png", "out"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "not verified against PyTorch" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--fp16", "--int8"], "exclude one another"),
        (["--batch", "4:2:8"], "ascending"),
        (["--batch", "many"], "1:4:8"),
        (["--format", "tensorrt", "--format", "triton", "--batch", "4:4:8"], "Triton sends lone requests"),
        (["--format", "triton", "--format", "tensorrt", "--batch", "4"], "begin with 1"),
        (["--tile", "30"], "multiple of"),
        (["--fp16", "--norm", "rms"], "can overflow in half; choose fused"),
        (["--int8", "--norm", "rms"], "would be in int8"),
        (["--truth", "."], "--images"),
        (["--images", "."], "no picture"),
        (["--images", "nowhere"], "not a folder"),
        (["--report", "nowhere/report.json"], "does not exist"),
        (["--compute-capability", "SM89"], "for engines alone"),
        (["--builder-log", "log.txt"], "for engines alone"),
        (["--inspect", "nowhere.onnx"], "no such file"),
        (["nowhere.pth"], "no such file"),
    ],
)
def test_bad_usage_is_one_line_before_any_work(arguments: list[str], reason: str, tmp_path: Path) -> None:
    done = nafnet_export("-o", "out", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("out/*"))


def test_inspect_reads_checkpoints_and_foreign_files(checkpoint_path: Path, identity_onnx: Path) -> None:
    lines = dict(inspect(checkpoint_path))
    assert lines["kind"] == "checkpoint (PyTorch)"
    assert "width 8, blocks 1,0 / 1 / 0,1" in lines["architecture"]
    foreign = dict(inspect(identity_onnx))
    assert foreign["architecture"].startswith("unknown")
    assert foreign["operators"] == "1 Identity"
    assert foreign["tiles"].startswith("256 (a guess: the file does not say), overlap 16 (a guess")
    assert [foreign[name] for name in ("task", "trained on", "precision")] == ["unknown", "unknown", "fp32"]
    assert lines["tiles"] == "64, overlap 16"
    assert lines["trained on"] == "patches of 32"
    model = onnx.load(identity_onnx)
    embed_spec(model, ModelSpec(verified=False))
    onnx.save(model, identity_onnx)
    assert "not verified" in dict(inspect(identity_onnx))["parity"]


def test_photographs_are_part_of_the_gate(checkpoint_path: Path, tmp_path: Path) -> None:
    """It says which files they were, before the work and in the report, and their names command no terminal."""
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (100, 90, 3), np.uint8)).save(tmp_path / "photos" / "colour.png")
    Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8)).save(tmp_path / "photos" / "grey-and-small.png")
    bad = "notes\x1b[2J\n.txt" if sys.platform != "win32" else "notes.txt"
    (tmp_path / "photos" / bad).write_text("no picture", encoding="utf-8")
    done = nafnet_export(
        checkpoint_path, "--images", "photos", "--norm", "fused", "--report", "report.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "photograph 1" in done.stdout
    assert "photograph 2" in done.stdout
    lines = done.stdout.splitlines()
    told = next(index for index, line in enumerate(lines) if line.startswith("--images photos: "))
    assert told < next(index for index, line in enumerate(lines) if line.startswith("writing it"))
    assert "2 pictures read (the middle 64x40 of each is compared, height x width), 1 skipped: notes" in lines[told]
    assert "(not a PNG, " in lines[told]
    assert lines[told + 1].endswith("mirror images: grey-and-small.png (20x30)")
    assert "\x1b" not in done.stdout
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    colour, grey = report["photographs"]["used"]
    assert colour == {
        "name": "colour.png", "height": 100, "width": 90, "mirrored": False, "truth": None,
        "part": {"top": 18, "left": 25, "height": 64, "width": 40},
    }  # fmt: skip
    assert (grey["name"], grey["mirrored"]) == ("grey-and-small.png", True)
    assert grey["part"] == {"top": 0, "left": 0, "height": 20, "width": 30}
    assert [file["name"] for file in report["photographs"]["skipped"]] == [bad]
    assert report["photographs"]["left"] == 0
    rows = [row for row in report["comparisons"] if row["case"] == "photograph 1"]
    assert {row["ran_on"] for row in rows} >= {"onnxruntime", "openvino"}
    row = rows[0]
    assert row["shape"][2:] == [64, 40], "as it says"


@pytest.mark.parametrize(
    "options",
    [ExportOptions(), ExportOptions(tile=32), ExportOptions(batch=(1, 2, 2)), ExportOptions(tile=32, batch=(1, 1, 1))],
    ids=["free", "tile", "batch", "both"],
)
def test_the_part_that_is_said_to_be_compared_is_what_is_compared(
    options: ExportOptions, checkpoint: Checkpoint
) -> None:
    photographs = [np.zeros((3, 100, 90), np.float32)]
    exported = export(checkpoint, dataclasses.replace(options, photographs=photographs))
    assert exported.verification is not None
    sizes = {row.shape[2:] for row in exported.verification.rows if row.case == "photograph 1"}
    assert sizes == {photograph_size(checkpoint, options)}
