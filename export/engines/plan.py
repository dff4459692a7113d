"""From an exported graph to a plan on the disk: built, read back, run where it can be, and only then written."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from nafnet.export.attempts.attempt import Exported, Note
from nafnet.export.engines.builder import Built, EngineSettings, build, runs_here
from nafnet.export.engines.runner import EngineRunner
from nafnet.export.gate.cases import cases
from nafnet.export.gate.executors import Executor
from nafnet.export.gate.parity import refusal, summarise
from nafnet.export.gate.verification import Count, Verification
from nafnet.files import write_whole
from nafnet.parity import Parity
from nafnet.spec import ModelSpec
from nafnet.steps import OnStep, unwatched
from nafnet.wire import wire_shape


def build_verified(
    trt: Any, flavour: str, exported: Exported, settings: EngineSettings, note: Note, on_step: OnStep = unwatched
) -> tuple[bytes, ModelSpec]:
    """The plan and its spec; `on_step` is told of the builder's phases, and of each comparison.

    Where a GPU is there to run it, the engine goes through the gate itself, at every shape of its profile. Elsewhere
    the spec's parity is that of the graph it was built from, and `ran_on` says so.

    Raises:
        NafnetError: it cannot be built, is not in the precision asked for, or does not match PyTorch.
    """
    spec = exported.spec
    low, best, high = (wire_shape((n, spec.channels, h, w), spec.io) for n, h, w in exported.sizes)
    title = f"{flavour} {trt.__version__} builds the engine"
    on_step(title, 0, 0)
    built = build(
        trt, flavour, exported.model.SerializeToString(), spec, (low, best, high), settings,
        lambda phase, done, total: on_step(f"{title}: {phase}", done, total),
    )  # fmt: skip
    for warning in dict.fromkeys(built.warnings):
        if "overflow" in warning.lower():
            note(f"{flavour} warns: {' '.join(warning.split())}")
    spec = spec.replace(engine=built.engine)
    if exported.verification is not None and runs_here(trt, flavour, settings, built.plan):
        spec = spec.replace(parity=_gate(trt, flavour, exported, built, on_step))
    listed = ", ".join(f"{share:.0%} {kind}" for kind, share in built.engine.layers.items())
    ran = (
        "run and compared"
        if flavour in (spec.parity.ran_on if spec.parity else ())
        else "not run: no GPU for it is here"
    )
    note(f"{flavour} engine for {built.engine.device}: layers {listed}; {ran}")
    return built.plan, spec


def write_plan(path: Path, made: tuple[bytes, ModelSpec]) -> list[Path]:
    """The plan, and the spec as PLAN.json beside it; the spec last, so that a plan with a spec is whole."""
    plan, spec = made
    beside = path.with_name(f"{path.name}.json")
    beside.unlink(missing_ok=True)
    write_whole(path, plan)
    write_whole(beside, spec.to_json().encode())
    return [path, beside]


def _gate(trt: Any, flavour: str, exported: Exported, built: Built, on_step: OnStep) -> Parity:
    """Every case through the engine itself, but those that need another network's weights."""
    found = exported.verification
    assert found is not None
    with contextlib.closing(EngineRunner(trt, built.plan, exported.spec.io)) as run:
        spec = exported.spec
        inputs = cases(spec, exported.sizes, exported.photographs)
        own = Verification(exported.reference, spec, Count.of([case.batch for case in inputs], 1, on_step))
        engine = Executor(name=flavour, run=run, precision=spec.precision, version=trt.__version__)
        own.compare_all(inputs, [engine])
    found.rows += own.rows
    if not own.passed:
        found.worst = own.worst
        raise refusal(own.rows, exported.spec.precision)
    before = exported.spec.parity
    return dataclasses.replace(
        summarise(own.rows, [engine], own.passed), truth_loss=before.truth_loss if before else None
    )
