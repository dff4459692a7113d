"""Each library's profiler on a real network: all of its operators' time is a level's, or named as outside."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
import onnx
import pytest

from nafnet.benchmarks.profiles import levels as kinds
from nafnet.benchmarks.profiles.levels import Levels, level_names
from nafnet.benchmarks.profiles.profiled import TARGETS, profile, profiles
from nafnet.benchmarks.report.where import profile_bars, profile_sheets
from nafnet.benchmarks.rows.candidate import Candidate
from nafnet.benchmarks.rows.candidates import FORMS, Wanted, rows
from nafnet.benchmarks.rows.exports import Exports
from nafnet.runtime.backends import REGISTRY

CONVOLUTIONS = (kinds.POINTWISE, kinds.DEPTHWISE, kinds.CONVOLUTION, kinds.NORM)
DEPTH, TILE = 1, 32
NAMED = ("torch-eager", "torch", "onnxruntime", "openvino")


def candidates_of(exports: Exports) -> list[Candidate]:
    return [row for row in rows(exports, Wanted(backends=NAMED)) if isinstance(row, Candidate)]


def graph_of(candidate: Candidate, exports: Exports) -> onnx.ModelProto:
    """The exported graph that says how many convolutions of each kind there are."""
    ours = candidate.name.endswith("ours")
    return onnx.load((exports.ours("fp32") if ours else exports.naive()).path)


def test_all_the_time_of_all_operators_is_told_by_level(exports: Exports) -> None:
    given = np.random.default_rng(0).random((1, 3, TILE, TILE), np.float32)
    found = candidates_of(exports)
    assert len(found) == 8
    for candidate in found:
        model = graph_of(candidate, exports)
        levels = Levels(model, DEPTH)
        taken = profile(candidate, levels, 1, given)
        assert all(seconds >= 0 for _, seconds in taken), candidate.name
        assert sum(seconds for _, seconds in taken) > 0, candidate.name
        told = collections.Counter(levels.name(place) for place, _ in taken)
        assert set(told) - {kinds.OUTSIDE} == set(level_names(DEPTH)), candidate.name
        outside = {place.kind for place, _ in taken if place.level is None}
        assert outside <= {kinds.LAYOUT}, candidate.name
        # Whatever a library fuses, a convolution stays one, and stays in its level.
        expected = collections.Counter(
            levels.name(place) for place in levels.place(kinds.operators_of(model)) if place.kind in CONVOLUTIONS
        )
        counted = collections.Counter(levels.name(place) for place, _ in taken if place.kind in CONVOLUTIONS)
        layer_norms = sum(place.kind == kinds.NORM for place, _ in taken) if candidate.backend == "torch" else 0
        assert counted.total() - layer_norms == expected.total(), candidate.name
        if not layer_norms:
            assert counted == expected, candidate.name


def test_what_runs_on_a_gpu_alone_has_its_profiler_by_its_target() -> None:
    """What would not be found is found when the bench reaches it, after all else."""
    reachable = {entry.target for entry in REGISTRY.values()}
    reachable |= {f"nafnet.benchmarks.rows.torch_forms:{attribute}" for _, attribute, _, _ in FORMS}
    assert set(TARGETS) <= reachable
    for target in TARGETS.values():
        module, _, name = target.partition(":")
        assert hasattr(pytest.importorskip(module), name)


def test_a_row_without_a_profile_says_why_and_ends_no_other(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, *_, last = candidates_of(exports)
    monkeypatch.delitem(TARGETS, compiled.target)
    broken = Candidate.from_dict({**last.to_dict(), "name": "broken"})
    monkeypatch.setitem(TARGETS, "m:Broken", "nafnet.benchmarks.profiles.of_torch:NoSuchForm")
    broken = Candidate.from_dict({**broken.to_dict(), "target": "m:Broken"})
    told: list[str] = []
    found = list(profiles([compiled, broken, last], exports, 1, 1, TILE, told.append))
    assert told == [compiled.name, "broken", last.name]
    assert found[0]["failed"] == "its library tells no operators by their names"
    assert found[1]["failed"].startswith("AttributeError: ")
    assert found[2]["operators"]
    sheets = list(profile_sheets(found))
    assert [row[0] for row in sheets[-1].rows] == [compiled.name, "broken"]


def seconds_of(operators: Sequence[tuple[str, str, float]]) -> list[dict[str, object]]:
    return [{"level": level, "operator": kind, "seconds": took, "count": 1} for level, kind, took in operators]


def test_tables_and_bars_add_up() -> None:
    border = ("outside", kinds.LAYOUT, 0.1)
    slow = seconds_of([("encoder 1", kinds.POINTWISE, 0.3), ("middle", kinds.NORM, 0.1), border])
    fast = seconds_of([("encoder 1", kinds.POINTWISE, 0.2), ("decoder 1", kinds.POINTWISE, 0.05)])
    told = [
        {"name": name, "tile": 64, "batch": 1, "operators": operators}
        for name, operators in (("slow", slow), ("fast", fast))
    ]
    by_level, by_kind, of_slow, _ = profile_sheets(told)  # type: ignore[arg-type]  # as JSON has them
    assert by_level.columns == ("backend", "encoder 1", "middle", "decoder 1", "outside", "all")
    assert by_level.rows[0] == ("slow", "300.00", "100.00", "", "100.00", "500.00")
    assert by_kind.columns == ("backend", kinds.POINTWISE, kinds.NORM, kinds.LAYOUT, "all")
    assert of_slow.rows[0] == ("encoder 1", "300.00 (1)", "", "", "300.00", "60%")
    bars = profile_bars(told)  # type: ignore[arg-type]
    assert bars is not None
    assert [bar["name"] for bar in bars["backends"]] == ["fast", "slow"]
    assert sum(part["width"] for part in bars["backends"][1]["parts"]) == pytest.approx(100)
    assert sum(part["width"] for part in bars["backends"][0]["parts"]) == pytest.approx(50)
    assert bars["backends"][0]["levels"][0]["parts"][0]["width"] == pytest.approx(100 * 0.2 / 0.3)
    assert profile_bars([]) is None
