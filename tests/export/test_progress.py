"""What takes long says so: the steps of an export, of an engine, and of a checkpoint that is run for the first time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nafnet.checkpoint import load_checkpoint
from nafnet.export.attempts.attempt import ExportOptions
from nafnet.export.engines.builder import EngineSettings
from nafnet.export.exporter import expected_time
from nafnet.export.formats import write_formats
from nafnet.export.formats.target import Target
from nafnet.files import CACHE_VARIABLE
from nafnet.runtime.engine.model_source import open_model
from nafnet.spec import Architecture, ModelSpec

from .conftest import Recorded


def comparisons(steps: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    return [step for step in steps if step[0].startswith("comparison ")]


def test_every_comparison_is_announced_with_its_number(half_export: Recorded) -> None:
    found = half_export.exported.verification
    assert found is not None
    told = comparisons(half_export.steps)
    count = len(found.rows)
    assert [what for what, _, _ in told] == [
        f"comparison {index} of {count}: {row.case} on {row.ran_on}" for index, row in enumerate(found.rows, 1)
    ]
    done, totals = [step[1] for step in told], {step[2] for step in told}
    assert done[0] == 0
    assert done == sorted(done)
    assert done[-1] < totals.pop() == done[-1] + done[-1] - done[-2], "the last two are of one size"
    assert not totals


def test_what_stands_around_the_comparisons_is_announced_too(plain_export: Recorded) -> None:
    words = " | ".join(dict.fromkeys(re.sub(r"\d+", "N", what) for what, _, _ in plain_export.steps))
    order = (
        "PyTorch writes the network",
        "loading the graph into",
        "comparison N",
        "what tiles change: N",
    )
    places = [words.index(part) for part in order]
    assert places == sorted(places)


def test_an_engine_tells_its_phases(half_export: Recorded, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    steps: list[tuple[str, float, float]] = []
    target = Target(
        folder=tmp_path,
        stem="net",
        engine=EngineSettings(),
        note=lambda _: None,
        on_step=lambda *step: steps.append(step),
    )
    write_formats(half_export.exported, ("tensorrt-rtx",), target)
    assert re.match(r"tensorrt-rtx [\d.]+ builds the engine$", steps[0][0])
    assert any(what.startswith(f"{steps[0][0]}: ") and total for what, _, total in steps)


def test_a_checkpoint_is_exported_once_and_says_so(
    checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    said: list[str] = []
    steps: list[tuple[str, float, float]] = []
    made = [
        open_model(checkpoint_path, "onnxruntime", say=said.append, on_step=lambda *step: steps.append(step))
        for _ in range(2)
    ]
    assert said == [f"exporting small.safetensors once (about a minute); kept in {tmp_path / 'cache' / 'onnx'}"]
    assert len(comparisons(steps)) == int(comparisons(steps)[0][0].split()[3].rstrip(":")), "once"
    assert made[0] == made[1]
    assert made[0].name == "small.safetensors"
    assert made[0].path.parent == tmp_path / "cache" / "onnx"


def test_the_expected_time_grows_with_the_network_and_the_work(checkpoint_path: Path) -> None:
    small = load_checkpoint(checkpoint_path).spec
    large = ModelSpec(
        architecture=Architecture(width=64, encoder_blocks=(1, 1, 1, 28), middle_blocks=1, decoder_blocks=(1, 1, 1, 1))
    )

    def minutes(spec: ModelSpec, **options: object) -> int:
        words = expected_time(spec, ExportOptions(**options))  # type: ignore[arg-type]
        return 1 if words == "about a minute" else int(words.split()[1])

    assert minutes(small) == 1
    assert minutes(small) < minutes(large) < minutes(large, precision="fp16") < minutes(large, precision="int8")
    assert minutes(large, verify=False) < minutes(large) < minutes(large, batch=(1, 4, 8))
