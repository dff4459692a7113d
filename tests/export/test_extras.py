"""What export says without ONNX Runtime, which no extra brings by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
sys.modules["onnxruntime"] = None  # as if it were not installed
from {module} import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("module", ["nafnet.export.cli", "nafnet.benchmarks.cli"])
def test_a_missing_onnxruntime_is_told_before_the_work(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(
        "onnxruntime is not installed: pip install 'nafnet-toolchain[export,cpu]', or 'nafnet-toolchain[export,gpu]'"
    )
    assert not list(tmp_path.iterdir())
