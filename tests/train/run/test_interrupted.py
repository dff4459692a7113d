"""Training in processes of its own: killed, stopped, out of disk, on several ranks; nothing is lost or differs."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import GUARD, Hold, running, wait_until
from tests.train.conftest import rows, same, trained_here

ALL_ON = ("loop.ema=0.9", "loop.accumulate=2", "loop.dropout=0.2", "sampling.flips=true")


def arguments(recipe: Path, pairs: Path, run: Path, steps: int, *overrides: str) -> list[str | Path]:
    changes = (f"loop.steps={steps}", "evaluation.every=150", *overrides)
    given = [word for change in changes for word in ("--set", change)]
    places = ["--input", pairs / "input", "--target", pairs / "target", "-o", run]
    return [recipe, *places, "--threads", "1", "--device", "cpu", *given]


def start(*words: str | Path, **options: Any) -> contextlib.AbstractContextManager[subprocess.Popen[Any]]:
    return running([Path(sys.executable).with_name("nafnet-train"), *words, "--quiet"], **options)


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(run / "steps.csv")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_with_the_weights_of_one_left_alone(
    workers: int, recipe: Path, pairs: Path, tmp_path: Path
) -> None:
    steps, changes = 80, ("evaluation.every=30", *ALL_ON)
    whole = trained_here(*arguments(recipe, pairs, tmp_path / "whole", steps, *changes))
    assert whole.returncode == 0, whole.stderr
    killed = tmp_path / "killed"
    words = [*arguments(recipe, pairs, killed, steps, *changes), "--workers", str(workers)]
    hold = Hold(tmp_path / "held", 1, rf"state-{steps:08}\.pt$")  # at the latest it is killed there
    with start(*words, env=hold.environment) as process:
        wait_until(lambda: list(killed.glob("states/state-*.pt")), process)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.wait(GUARD)
    done = trained_here(*words)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stdout
    for name in ("last.safetensors", "best.safetensors"):
        assert same(tmp_path / "whole" / name, killed / name)
    assert losses(tmp_path / "whole") == losses(killed)
    assert not list(killed.rglob("*.partial"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_its_step_and_exits_130(signum: int, recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(*arguments(recipe, pairs, run, 100_000, "loop.checkpoint_every=100000")) as process:
        wait_until(lambda: (run / "steps.csv").exists() and len(losses(run)) > 5, process)
        process.send_signal(signum)
        assert process.wait(GUARD) == 130
    (state,) = (run / "states").iterdir()
    assert int(state.stem.rpartition("-")[2]) == len(losses(run)) > 0
    assert (run / "curves.png").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_to_the_whole_group_that_comes_twice_loses_nothing(
    workers: int, recipe: Path, pairs: Path, tmp_path: Path
) -> None:
    """As `timeout`, systemd and batch systems send it."""
    run = tmp_path / "run"
    words = [*arguments(recipe, pairs, run, 100_000, "loop.checkpoint_every=100000"), "--workers", str(workers)]
    with start(*words, stderr=subprocess.PIPE) as process:
        wait_until(lambda: (run / "steps.csv").exists() and len(losses(run)) > 20, process)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(0.005)
        _, said = process.communicate(timeout=GUARD)
    assert process.returncode == 130, said
    assert len(said.splitlines()) == 1, said
    (state,) = (run / "states").iterdir()
    assert int(state.stem.rpartition("-")[2]) == len(losses(run)) > 0


def test_one_folder_is_for_one_run(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(*arguments(recipe, pairs, run, 100_000)) as process:
        wait_until(lambda: (run / "steps.csv").exists(), process)
        second = trained_here(*arguments(recipe, pairs, run, 100_000))
    assert second.returncode == 2
    assert "another process trains here" in second.stderr


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk takes root")
def test_a_full_disk_leaves_the_state_before(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        words = arguments(recipe, pairs, disk / "run", 40, "architecture.width=12")
        (disk / "filler").write_bytes(bytes(150_000))
        failed = trained_here(*words)
        assert failed.returncode == 2, failed.stdout
        assert len(failed.stderr.splitlines()) == 1
        assert "No space left" in failed.stderr or "cannot be written" in failed.stderr
        states = list((disk / "run" / "states").glob("state-*.pt"))
        assert states
        for state in states:
            torch.load(state, weights_only=True)
        assert not list(disk.rglob("*.partial"))
        shutil.copytree(disk / "run", tmp_path / "moved")
        done = trained_here(*[tmp_path / "moved" if word == disk / "run" else word for word in words])
        assert done.returncode == 0, done.stderr
        assert "going on from step" in done.stdout
    finally:
        subprocess.run(["umount", disk], check=True)


def torchrun(*words: str | Path, restarts: int = 0, program: Path | None = None) -> list[str | Path]:
    """The command that runs nafnet-train, or a program in Python, on two ranks."""
    places = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    run = [program] if program else ["--no-python", Path(sys.executable).with_name("nafnet-train")]
    return [sys.executable, "-m", "torch.distributed.run", *places, *run, *words]


def test_two_ranks_train_as_one_process(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    settings = ("loop.accumulate=2", "sampling.flips=true")
    done = trained_here(*arguments(recipe, pairs, one, 20, *settings))
    assert done.returncode == 0, done.stderr
    words = torchrun(*arguments(recipe, pairs, two, 20, *settings))
    both = subprocess.run(words, capture_output=True, text=True, check=False)
    assert both.returncode == 0, both.stderr
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    expected, given = (load_file(run / "last.safetensors") for run in (one, two))
    for name, tensor in expected.items():
        torch.testing.assert_close(given[name], tensor, atol=1e-5, rtol=1e-3)


def test_a_killed_rank_is_restarted_and_goes_on(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = torchrun(*arguments(recipe, pairs, run, 40), restarts=1)
    hold = Hold(tmp_path / "held", 3, r"state-\d+\.pt$")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with running(words, env=hold.environment, **pipes) as process:
        leading = hold.wait(process)
        ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
        (other,) = {int(number) for number in ranks.stdout.split()} - {leading}
        os.kill(other, signal.SIGKILL)
        os.kill(leading, signal.SIGCONT)
        output, _ = process.communicate(timeout=GUARD)
    assert process.returncode == 0, output
    assert "going on from step" in output
    assert len(losses(run)) == 40
