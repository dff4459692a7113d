"""Specs that contradict themselves are refused in one line; what a later version wrote is passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nafnet.errors import SpecError
from nafnet.parity import Answer, ExecutorParity, Parity
from nafnet.spec import Architecture, ModelSpec

Changes = dict[str, Any]
EXECUTOR = ExecutorParity(
    name="openvino", version="2026.1", precision="fp32", psnr=120.0, max_abs=1e-6, p999=1e-7, cases=5, passed=True,
    features=("avx2",),
)  # fmt: skip
PARITY = Parity(
    psnr=119.0, max_abs=2e-6, cases=10, passed=True, p999=1e-6, worst="noise", executors=(EXECUTOR,), truth_loss=0.01
)
SPEC = ModelSpec(
    architecture=Architecture(), parity=PARITY, verified=True, graph_sha256="0" * 64, answer=Answer(side=48, values=""),
)  # fmt: skip


def written(parity: Changes | None = None, executor: Changes | None = None, **fields: Any) -> str:
    """The spec above as JSON, with some of its values changed."""
    made = json.loads(SPEC.to_json())
    made |= fields
    made["parity"]["executors"][0] |= executor or {}
    made["parity"] |= parity or {}
    return json.dumps(made)


def test_a_spec_with_all_of_it_comes_back() -> None:
    assert ModelSpec.from_json(written()) == SPEC
    assert ModelSpec.from_json(written()).parity == PARITY


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (written({"passed": False}), "verified is True, and parity passed is False"),
        (written(verified=False), "verified is False, and parity passed is True"),
        (json.dumps(json.loads(SPEC.to_json()) | {"parity": None}), "verified, and no parity"),
        (written({"psnr": 20.0}), "passed with 20.0 dB, below 90"),
        (written({"psnr": 85.0}), "passed with 85.0 dB, below 90"),
        (written({"max_abs": 0.01}), "passed with largest difference"),
        (written({"psnr": 70.0, "p999": 1.0}, precision="fp16"), "99.9th percentile"),
        (written({"psnr": float("nan")}), "expected finite numbers"),
        (written({"max_abs": float("nan")}), "expected finite numbers"),
        (written({"psnr": float("inf")}), "expected finite numbers"),
        (written({"p999": float("inf")}), "expected finite numbers"),
        (written({"truth_loss": float("nan")}), "expected finite numbers"),
        (written({"max_abs": -1.0}), "expected finite numbers"),
        (written({"cases": -1}), "expected finite numbers"),
        (written({"truth_loss": 0.2}), "passed with 0.2 dB lost"),
        (written(executor={"psnr": 60.0}), "passed with 60.0 dB, below 90"),
        (written(executor={"psnr": float("nan")}), "expected finite numbers"),
        (written(executor={"max_abs": float("inf")}), "expected finite numbers"),
    ],
)
def test_contradictions_are_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as refused:
        ModelSpec.from_json(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (written({"executors": ["openvino"]}), "executorparity is 'openvino'"),
        (written({"executors": 5}), "not iterable"),
        (written(executor={"precision": "fp8"}), "parity.executors.precision is 'fp8'"),
        (written(executor={"cases": "many"}), "parity.executors.cases is 'many'"),
        (written({"executors": [{"name": "openvino"}]}), "missing"),
        (written(answer={"side": "48", "values": ""}), "answer.side"),
        (written(answer=[48]), "answer is"),
        (written(graph_sha256=5), "graph_sha256"),
    ],
)
def test_what_is_mistyped_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint) as refused:
        ModelSpec.from_json(text)
    assert "\n" not in str(refused.value)


def test_an_executor_is_judged_by_the_precision_it_computes_in() -> None:
    bfloat16 = {"name": "openvino-bf16", "precision": "bf16", "psnr": 52.0, "max_abs": 0.02, "p999": 0.01}
    parity = ModelSpec.from_json(written(executor=bfloat16)).parity
    assert parity is not None
    (read,) = parity.executors
    assert (read.precision, read.passed) == ("bf16", True)
    with pytest.raises(SpecError, match=r"passed with 44\.0 dB, below 45"):
        ModelSpec.from_json(written(executor={**bfloat16, "psnr": 44.0}))


def test_a_refused_result_may_have_any_figures() -> None:
    text = written({"psnr": 20.0, "max_abs": 1e30, "passed": False}, {"psnr": 0.0, "passed": False}, verified=False)
    assert ModelSpec.from_json(text).standing == "not verified against PyTorch"


def test_what_a_later_version_adds_is_passed_over_at_every_level() -> None:
    made = json.loads(SPEC.to_json())
    for part in (made, made["parity"], made["parity"]["executors"][0], made["answer"], made["architecture"]):
        part["colour"] = {"of": "the sky"}
    assert ModelSpec.from_json(json.dumps(made)) == SPEC


def test_what_an_earlier_version_wrote_is_read() -> None:
    made = json.loads(SPEC.to_json())
    for name in ("answer", "graph_sha256"):
        del made[name]
    for name in ("executors", "truth_loss", "p999", "worst"):
        del made["parity"][name]
    read = ModelSpec.from_json(json.dumps(made))
    assert (read.answer, read.graph_sha256, read.changed) == (None, None, False)
    assert read.parity == Parity(psnr=119.0, max_abs=2e-6, cases=10, passed=True)
    assert read.standing == "not verified: its claim names no graph"


def test_changed_is_found_out_and_neither_written_nor_believed() -> None:
    assert SPEC.standing == "checked against PyTorch"
    assert "changed" not in json.loads(SPEC.replace(changed=True).to_json())
    assert not ModelSpec.from_json(written(changed=True)).changed
