"""What several tests of the runtime need."""

from __future__ import annotations

from pathlib import Path

import pytest

from nafnet.files import file_sha256
from nafnet.spec import Engine, ModelSpec


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan in name alone, with a spec that fits it."""
    path = tmp_path / "net.plan"
    path.write_bytes(b"plan")
    engine = Engine(
        flavour="tensorrt", version="10.12", device="GPU", profiles=(((1, 3, 16, 16), (2, 3, 64, 64), (4, 3, 64, 64)),),
        layers={"Half": 1.0}, layers_read_from="engine", plan_sha256=file_sha256(path),
    )  # fmt: skip
    path.with_name("net.plan.json").write_text(ModelSpec(engine=engine).to_json(), encoding="utf-8")
    return path
