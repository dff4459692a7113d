"""Ctrl-C and SIGTERM, to processes of their own: answered at once, during an evaluation too, and all is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nafnet.train.run import evaluation
from tests.processes import GUARD, running, wait_until
from tests.train.conftest import Train, evaluated, rows, same
from tests.train.run.test_interrupted import arguments, torchrun

VARIABLES = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
IN_C = """
import ctypes, os, signal, threading, time
from nafnet.train.processes.signals import StopRequest

asked, said, ended = StopRequest(), [], []
reading, writing = os.pipe()
asked.listen()

def ask():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.{name}])
    time.sleep(0.2)  # for the main thread to be in its call, which nothing here can see
    os.kill(os.getpid(), signal.{name})
    given_up = time.monotonic() + {guard}
    while not said and time.monotonic() < given_up:
        time.sleep(0.01)
    os.write(writing, b"x")

with asked.deferred(), asked.finishing("this image"), asked.answered(lambda line: said.append((line, bool(ended)))):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.{name}])  # else it would cut the call short
    threading.Thread(target=ask).start()
    ctypes.CDLL(None).read(reading, ctypes.create_string_buffer(1), 1)  # one call: no handler of Python's runs
    ended.append(True)
print(asked.asked, said)
"""
EVALUATING = """
import os, signal
from nafnet.train.cli import main
from nafnet.train.run import evaluation
scored, images = evaluation.scored, []
def interrupting(*given):
    images.append(given)
    if len(images) == 2 and os.environ.get("RANK", "1") == "1":
        signal.raise_signal(signal.SIGTERM)
    return scored(*given)
evaluation.scored = interrupting
main()
"""
"""nafnet-train, to which SIGTERM comes in the midst of its first evaluation; of several ranks to the last one alone."""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SIGTERM", "SIGTERM: stopping after this image, then saving"),
        ("SIGINT", "Ctrl-C: stopping after this image, then saving; Ctrl-C once more leaves at once, unsaved"),
    ],
)
def test_a_signal_is_answered_while_one_long_call_goes_on(name: str, line: str) -> None:
    script = IN_C.format(name=name, guard=GUARD)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"True {[(line, False)]}"


def started(words: list[str | Path]) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    program = Path(sys.executable).with_name("nafnet-train")
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return running([program, *words], text=True, env=VARIABLES, **pipes)


def test_a_run_stopped_while_it_trains_says_what_is_there(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = arguments(recipe, pairs, run, 100_000, "evaluation.every=100000", "loop.checkpoint_every=100000")
    with started(words) as process:
        wait_until(lambda: (run / "steps.csv").exists() and len(rows(run / "steps.csv")) > 2, process)
        process.send_signal(signal.SIGTERM)
        said, wrong = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert "SIGTERM: stopping after this step, then saving" in said.splitlines()
    step = len(rows(run / "steps.csv"))
    assert wrong.splitlines() == [
        f"nafnet-train: stopped; step {step} is saved, and its weights are {run / 'last.safetensors'} "
        "(best.safetensors comes with the first evaluation); the same command goes on"
    ]
    assert (run / "last.safetensors").exists()


def test_an_evaluation_is_broken_off_between_two_images(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", EVALUATING, *arguments(recipe, pairs, run, 100_000, "evaluation.every=1")]
    done = subprocess.run(words, env=VARIABLES, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert any(line.startswith("SIGTERM: stopping after this ") for line in done.stdout.splitlines()), done.stdout
    assert not rows(run / "evaluations.csv"), "it was broken off"
    assert not (run / "best.safetensors").exists()
    state = torch.load(run / "states" / "state-00000001.pt", weights_only=True)
    assert state["due"], "it is made up for when the run goes on"
    assert "step 1 is saved" in done.stderr


def test_an_evaluation_is_broken_off_on_every_rank_if_one_was_told(recipe: Path, pairs: Path, tmp_path: Path) -> None:
    run, program = tmp_path / "run", tmp_path / "evaluating.py"
    program.write_text(EVALUATING, encoding="utf-8")
    words = torchrun(*arguments(recipe, pairs, run, 100_000, "evaluation.every=1"), program=program)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not rows(run / "evaluations.csv"), done.stdout + done.stderr
    assert torch.load(run / "states" / "state-00000001.pt", weights_only=True)["due"]


def test_an_evaluation_that_was_broken_off_is_made_up_for(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole, _ = train("loop.steps=20", folder="whole")
    evaluate, calls = evaluation.evaluate, []

    def breaking_off(*given: Any) -> Any:
        calls.append(given)
        return evaluate(*given[:-1], lambda: False) if len(calls) == 2 else evaluate(*given)

    monkeypatch.setattr(evaluation, "evaluate", breaking_off)
    with pytest.raises(KeyboardInterrupt, match=r"step 10 is saved.*best\.safetensors comes with the first evaluation"):
        train("loop.steps=20", folder="stopped")
    assert len(calls) == 2, "in the midst of the sets"
    _, stopped, said = train("loop.steps=20", folder="stopped")
    assert "going on from step 10" in said
    assert evaluated(whole) == evaluated(stopped)
    assert same(whole / "best.safetensors", stopped / "best.safetensors")


def test_pictures_that_are_being_generated_are_not_waited_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words: list[str | Path] = ["denoise", "-o", run, "--device", "cpu", "--threads", "1"]
    with started(words) as process:
        wait_until(lambda: list(run.glob(".images.npy.*.partial")), process)
        process.send_signal(signal.SIGTERM)
        _, wrong = process.communicate(timeout=GUARD)
    assert process.returncode == 130
    assert wrong == "nafnet-train: stopped before a step was saved; the same command begins again\n"
    assert not list(run.glob(".images.npy.*"))
