"""The first hour on a GPU: its table of steps, what comes of one that fails, and all of it on the stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nafnet.architecture import NAFNet
from nafnet.benchmarks.gpu_day.__main__ import run_all
from nafnet.benchmarks.gpu_day.runner import NothingToDoError, Step, run_step
from nafnet.benchmarks.gpu_day.steps import FORMATS, Day, table
from nafnet.checkpoint import save_checkpoint
from nafnet.interpreter import module_command
from nafnet.spec import ModelSpec
from tests.benchmarks.conftest import photographs
from tests.conftest import TINY

STAND_IN = Path(__file__).parents[2] / "gpu_stand_in"


def python(code: str, title: str = "a step") -> Step:
    return Step(group="Steps", title=title, words=lambda: [sys.executable, "-c", code])


def missing() -> list[str | Path]:
    raise NothingToDoError("the export was not written")


def test_what_fails_is_told_and_the_rest_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [
        python("print('<b>all</b> well')", "well"),
        python("print('about to'); raise SystemExit('no <i>kernel</i>')", "fails"),
        python("import os; os.abort()", "dies"),
        Step(group="Steps", title="absent", words=lambda: ["no-such-program"]),
        Step(group="Steps", title="skipped", words=missing),
        python("print('the last')", "last"),
    ]
    assert run_all(steps, tmp_path, 60) == 1
    day = json.loads((tmp_path / "day.json").read_text(encoding="utf-8"))
    assert [step["status"] for step in day["steps"]] == ["done", "failed", "failed", "failed", "skipped", "done"]
    errors = [step["error"] for step in day["steps"]]
    assert errors == [
        None, "exit code 1: no <i>kernel</i>", "killed by SIGABRT: it printed nothing",
        "no-such-program: No such file or directory", "the export was not written", None,
    ]  # fmt: skip
    assert all(step["seconds"] >= 0 for step in day["steps"])
    assert (tmp_path / "logs" / "02.txt").read_text(encoding="utf-8") == "about to\nno <i>kernel</i>\n"
    page = (tmp_path / "day.html").read_text(encoding="utf-8")
    assert "no &lt;i&gt;kernel&lt;/i&gt;" in page
    assert "&lt;b&gt;all&lt;/b&gt; well" in page
    printed = capsys.readouterr().out
    assert "failed: Steps, dies: killed by SIGABRT" in printed
    assert "3 of 6 steps failed" in printed
    assert run_all([steps[0]], tmp_path / "good", 60) == 0


def test_a_step_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys; print('working', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    told: list[str] = []
    entry = run_step(python(code), tmp_path / "log.txt", 1.5, "1 of 1", lambda line, *_: told.append(line))
    assert (entry["status"], entry["error"]) == ("failed", "no end within 0.025 minutes")
    assert entry["seconds"] < 3
    assert told[-1].endswith("working"), "what it does is told while it does it"
    time.sleep(max(3.5 - entry["seconds"], 0))
    assert not mark.exists()


def test_the_table_has_every_engine_precision_norm_tile_and_batch(tmp_path: Path) -> None:
    network = tmp_path / "network.safetensors"
    network.touch()
    day = Day(folder=tmp_path, networks=(network,), engines=tuple(FORMATS), tests=tmp_path)
    steps = list(table(day))
    words = [" ".join(map(str, step.words())) for step in steps if step.group not in ("Parity on the device", "Norms")]
    for kind in ("onnx", "tensorrt", "tensorrt-rtx"):
        exports = [
            line for line in words if line.startswith("nafnet-export") and line.endswith((kind, f"{kind} --fp16"))
        ]
        assert [line.endswith("--fp16") for line in exports] == [False, True], kind
    assert any("--tile 256,512 --batch 1,4,8" in line for line in words)
    assert any("pytest -m gpu" in line for line in words)
    norms = [step for step in steps if step.group == "Norms"]
    made = [" ".join(map(str, step.words())) for step in norms if "export" in step.title]
    assert len(made) == 3 * 2 * 2
    assert sum("--norm conv" in line for line in made) == sum("--norm fused" in line for line in made)
    assert len({line.split("-o ")[1].split()[0] for line in made}) == len(made), "each in a folder of its own"
    with pytest.raises(NothingToDoError, match="no export of it was written"):
        norms[-1].words()


def test_without_a_gpu_it_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        module_command("nafnet.benchmarks.gpu_day", str(tmp_path / "day")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no NVIDIA GPU, or no driver for it" in done.stderr
    assert not (tmp_path / "day").exists()


@pytest.mark.slow
def test_all_of_it_on_the_stand_in(tiny_network: NAFNet, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    with torch.no_grad():
        tiny_network.ending.weight *= 0.02
        tiny_network.ending.bias *= 0.02
    network = tmp_path / "tiny.safetensors"
    spec = ModelSpec(architecture=TINY, multiple=4, train_patch=32, tile=64, overlap=8, task="denoise")
    save_checkpoint(network, dict(tiny_network.state_dict()), spec)
    photographs(tmp_path / "images")
    folder = tmp_path / "day"
    env = {
        **os.environ, "PYTHONPATH": str(STAND_IN / "start"), "NAFNET_CACHE": str(tmp_path / "cache"),
        "PATH": f"{STAND_IN / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    words = ["--quick", "--network", str(network), "--images", str(tmp_path / "images"), "--engine", "tensorrt"]
    done = subprocess.run(
        [*module_command("nafnet.benchmarks.gpu_day", str(folder)), *words, "--engine", "onnxruntime-cuda"],
        capture_output=True, text=True, check=False, env=env, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    day = json.loads((folder / "day.json").read_text(encoding="utf-8"))
    assert {step["status"] for step in day["steps"]} == {"done"}
    assert set(day["results"]) == {"bench-tiny", "norms-tiny-tensorrt"}
    for name, rows in {
        "bench-tiny": {"tensorrt ours fp32", "tensorrt ours fp16", "onnxruntime-cuda ours"},
        "norms-tiny-tensorrt": {
            "tensorrt tiny-64-conv.plan", "tensorrt tiny-64-fused.plan", "tensorrt ours fp32"
        },
    }.items():  # fmt: skip
        (case,) = day["results"][name]["models"][0]["cases"]
        timed = {row["name"]: row for row in case["rows"] if "speed" in row}
        assert rows <= set(timed)
        assert all(timed[row]["device"]["compute"] > 0 for row in rows)
    page = (folder / "day.html").read_text(encoding="utf-8")
    assert "NVIDIA H100 80GB HBM3" in page
    assert "tensorrt tiny-64-fused.plan" in page
