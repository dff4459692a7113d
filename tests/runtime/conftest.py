"""What several tests of the runtime need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nafnet.files import file_sha256
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.work import Request, find_work
from nafnet.spec import Engine, ModelSpec
from tests.begun import PLAIN, begun_run

PROGRAM = Path(sys.executable).with_name("nafnet-run")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan in name alone, with a spec that fits it."""
    path = tmp_path / "net.plan"
    path.write_bytes(b"plan")
    engine = Engine(
        flavour="tensorrt", version="10.12", device="GPU (SM90)",
        profiles=(((1, 3, 16, 16), (2, 3, 64, 64), (4, 3, 64, 64)),),
        layers={"Half": 1.0}, layers_read_from="engine", plan_sha256=file_sha256(path),
    )  # fmt: skip
    path.with_name("net.plan.json").write_text(ModelSpec(engine=engine).to_json(), encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path, photograph: NDArray[np.uint8]) -> Path:
    """A folder with photos/a.png, photos/b.jpg and photos/below/c.tif, of 16 bits."""
    (tmp_path / "photos" / "below").mkdir(parents=True)
    Image.fromarray(photograph).save(tmp_path / "photos" / "a.png")
    Image.fromarray(photograph).save(tmp_path / "photos" / "b.jpg", quality=95, subsampling=0)
    tifffile.imwrite(tmp_path / "photos" / "below" / "c.tif", photograph.astype(np.uint16) * 257, photometric="rgb")
    return tmp_path


def find_jobs(inputs: Sequence[Path], output: Path, **options: Any) -> list[Job]:
    """The jobs of a run, whose paths were checked together."""
    return find_work(Request(inputs=inputs, output=output, **options)).jobs


def nafnet_run(
    here: Path, *arguments: str | Path, given: bytes | None = None, program: str = PLAIN
) -> subprocess.CompletedProcess[bytes]:
    """Run it, or a program around it, to its end in a folder that has its cache as well."""
    environment = {**os.environ, "NAFNET_CACHE": str(here / "cache")}
    return begun_run(arguments, here, environment, given=given, program=program)
