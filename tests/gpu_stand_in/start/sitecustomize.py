"""Python runs this when it starts, where a test has put this folder on PYTHONPATH: our commands find the stand-in.

What takes time and is of no matter without hardware is made short. A rule that was broken makes the process fail.
"""

import atexit
import os
import sys
from pathlib import Path

BROKEN = 70


def _install() -> None:
    root = str(Path(__file__).parents[3])
    sys.path.append(root)
    import pytest
    import tensorrt_rtx_bindings as real

    import nafnet.export.exporter  # noqa: F401, it imports more of ONNX Runtime than the stand-in plays
    from nafnet.benchmarks.measure import roofline, whole_path
    from tests.gpu_stand_in.machine import Machine, install_onnxruntime

    sys.path.remove(root)
    patch = pytest.MonkeyPatch()
    machine, onnxruntime = Machine(patch, real), install_onnxruntime(patch)
    roofline.MATRIX_SIDE["cuda"], roofline.COPIED_BYTES["cuda"] = 64, 2**16
    whole_path.TILES = 4, 4

    def tell() -> None:
        if broken := [*machine.broken, *onnxruntime.faults]:
            print(f"rules broken: {broken}", file=sys.stderr, flush=True)
            os._exit(BROKEN)

    atexit.register(tell)


if any("nafnet" in word for word in sys.orig_argv) and "random_models" not in " ".join(sys.orig_argv):
    _install()
