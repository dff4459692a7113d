"""Windows' results are those of the system beside it, to the byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.runtime.conftest import nafnet_run
from tests.windows.reference import BACKENDS, VARIABLE

REFERENCE = Path(os.environ.get(VARIABLE, "none"))


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"{VARIABLE} names no folder of another system's results")
@pytest.mark.parametrize("backend", BACKENDS)
def test_results_are_those_of_the_other_system(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    done = nafnet_run(tmp_path, "--backend", backend, "--threads", "1", REFERENCE / "in", "out")
    assert done.returncode == 0, done.stderr.decode()
    names = {path.name for path in (REFERENCE / "in").iterdir()}
    assert len(names) == 3
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (REFERENCE / backend / name).read_bytes(), name
