"""Plans are native code: only those that were built here, for this library and GPU, are loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nafnet.errors import ModelError
from nafnet.files import file_sha256
from nafnet.planfile import Gpu, inspect_plan, refuse_foreign_plan
from nafnet.runtime.backends import REGISTRY, choose_for
from nafnet.runtime.backends.model import Model
from nafnet.runtime.engine.model_source import open_model
from nafnet.spec import ModelSpec


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flavour": "tensorrt-rtx"}, "a plan of tensorrt-rtx"),
        ({"version": "11.0"}, r"built by tensorrt 11\.0, here is 10\.12"),
        ({"device": "another"}, r"built on another, here is GPU \(SM90\)"),
    ],
)
def test_plans_of_others_are_refused(change: dict[str, str], reason: str, plan: Path) -> None:
    spec = inspect_plan(plan)
    assert spec.engine is not None
    foreign = spec.replace(engine=dataclasses.replace(spec.engine, **change))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=reason):
        refuse_foreign_plan(plan, foreign, flavour="tensorrt", version="10.12", gpu=Gpu("GPU", 9, 0))


def test_a_plan_must_be_the_one_its_spec_speaks_of(plan: Path) -> None:
    plan.write_bytes(b"another plan")
    with pytest.raises(ModelError, match="describes another plan"):
        open_model(plan, "tensorrt")
    plan.with_name("net.plan.json").unlink()
    with pytest.raises(ModelError, match="is not beside it"):
        open_model(plan, "tensorrt")
    with pytest.raises(ModelError, match="does not run plans"):
        open_model(plan, "openvino")
    assert Model(path=plan, spec=ModelSpec()).sha256 == file_sha256(plan)


@pytest.mark.parametrize("flavour", ["tensorrt", "tensorrt-rtx"])
def test_auto_takes_the_library_a_plan_was_built_for(flavour: str, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = inspect_plan(plan)
    assert spec.engine is not None
    built = spec.replace(engine=dataclasses.replace(spec.engine, flavour=flavour))  # type: ignore[arg-type]
    plan.with_name("net.plan.json").write_text(built.to_json(), encoding="utf-8")
    monkeypatch.setattr("nafnet.runtime.backends.is_installed", lambda _: True)
    monkeypatch.setattr(
        "nafnet.runtime.backends.REGISTRY",
        {name: dataclasses.replace(entry, absent=lambda: None) for name, entry in REGISTRY.items()},
    )
    assert choose_for("auto", plan, None).name == flavour
