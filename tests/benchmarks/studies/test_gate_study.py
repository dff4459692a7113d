"""Faults in exported graphs: the gate finds what is seen, and the study finds a gate that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from nafnet.benchmarks.studies import gate
from nafnet.benchmarks.studies.mutations import KINDS, Mutation, mutations
from nafnet.benchmarks.studies.trial import Trial
from nafnet.export.attempts import attempt
from nafnet.export.gate import verification
from nafnet.export.gate.executors import Executor, in_onnxruntime
from nafnet.export.gate.parity import compare
from nafnet.spec import ModelSpec
from tests.conftest import TINY

FAULTS = 10


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial("fp32", architecture=TINY)


@pytest.fixture(autouse=True)
def _in_onnxruntime_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO takes seconds to load each graph, and finds what ONNX Runtime finds."""

    def one(content: bytes, spec: ModelSpec) -> list[Executor]:
        return [Executor(name="onnxruntime", run=in_onnxruntime(content, spec), precision=spec.precision)]

    for module in (attempt, verification):
        monkeypatch.setattr(module, "executors", one)


@pytest.fixture
def study(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command, on a graph that is there already."""
    monkeypatch.setattr(gate, "Trial", lambda *_: trial)
    return lambda *words: CliRunner().invoke(gate.main, ["--form", "fp32", *map(str, words)])


def test_faults_that_are_seen_are_refused(study: Callable[..., Any], tmp_path: Path) -> None:
    ended = study("--count", FAULTS, "--json", tmp_path / "found.json")
    assert ended.exit_code == 0, ended.output
    found = json.loads((tmp_path / "found.json").read_text())
    seen = [each for each in found if each["seen"]]
    assert len(found) == FAULTS
    assert len({each["kind"] for each in found}) >= 8
    assert len(seen) >= 2
    assert all(each["refused"] and each["by_pictures"] for each in seen)
    assert f"{FAULTS} faults" in ended.output


def test_no_fault_passes_the_gate(trial: Trial) -> None:
    unchanged = trial.judge(Mutation(name="a note", kind="added", change=_noted))
    assert unchanged is not None
    assert (unchanged.refused, unchanged.share, unchanged.by_pictures) == (None, 0.0, ())


def _noted(graph: onnx.GraphProto) -> None:
    graph.doc_string = "another file, the same function"


def test_a_wrong_weight_is_found_by_the_weights_and_where_it_is_seen_by_pictures(trial: Trial) -> None:
    found = {each.name: each for each in mutations(trial.graph.content, ["weight"])}
    little, much = (trial.judge(found[f"module.intro.weight: {what}"]) for what in ("one by 1.01", "all negated"))
    assert little is not None
    assert much is not None
    assert little.by_weights
    assert not little.seen
    assert little.refused is not None
    assert "weights in the file are not the network's" in little.refused
    assert much.by_weights
    assert much.seen
    assert much.by_pictures


def test_what_cannot_be_run_is_not_judged(trial: Trial) -> None:
    found = {each.name: each for each in mutations(trial.graph.content, ["geometry"])}
    assert trial.judge(found["conv2d: 2 groups"]) is None
    assert trial.judge(Mutation(name="nothing", kind="added", change=lambda _: None)) is None


def test_a_blind_gate_is_found(study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(case: str, ran_on: str, _given: Any, expected: Any, *further: Any, **options: Any) -> Any:
        return compare(case, ran_on, np.copy(expected), expected, *further, **options)

    monkeypatch.setattr(verification, "compare", blind)
    ended = study("--count", 2, "--only", "removed")
    assert ended.exit_code == 3, ended.output
    assert "passes the gate: fp32, removed, conv2d_37: input 0 as it is: " in ended.output


def test_faults_are_the_same_each_time_and_of_every_kind(trial: Trial) -> None:
    names = [[(each.kind, each.name) for each in mutations(trial.graph.content)] for _ in range(2)]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])
    assert {kind for kind, _ in names[0]} == set(KINDS) - {"box"}  # of local pooling alone
