"""Inference libraries as the runtime and the gate both load them: what was compared is what runs."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from nafnet.system import SYSTEM, processor

if TYPE_CHECKING:
    import onnxruntime

# Of ONNX Runtime. It rounds the biases of an int8 graph, which ours keeps in half, with a scale computed in half, where
# the scale is all but zero: 43 dB in the place of 65 for a width of 32, and no faster.
HARMFUL_OPTIMIZERS = ["WeightBiasQuantization"]


def onnxruntime_session(
    model: str | bytes,
    options: onnxruntime.SessionOptions | None = None,
    providers: Sequence[Any] = ("CPUExecutionProvider",),
    *,
    silent: bool = False,
) -> onnxruntime.InferenceSession:
    """A session of a file, by its path, or of its bytes; it says nothing but errors, which are raised as well.

    Without its fallback, which on an error, be it of memory, prints to standard output and goes on with the CPU.

    Args:
        silent: errors are raised, and not printed.
    """
    import onnxruntime

    options = options or onnxruntime.SessionOptions()
    options.log_severity_level = 4 if silent else 3
    # Its threads would spin on after a call and take the cores from whoever comes next: PyTorch, a decoder, blending.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        model, options, list(providers), disabled_optimizers=HARMFUL_OPTIMIZERS, enable_fallback=0
    )


@functools.cache
def preload_cuda() -> str:
    """Let ONNX Runtime load the CUDA and cuDNN that pip installed, where it does not look by itself.

    Returns:
        What it did not find, by the libraries' names, which it would print. Versions before 1.21 have no such call.
    """
    import onnxruntime

    said = io.StringIO()
    if hasattr(onnxruntime, "preload_dlls"):
        SYSTEM.add_library_folders(lambda: _folders_of_wheels(Path(onnxruntime.__file__).parents[1]))
        with contextlib.redirect_stdout(said):
            onnxruntime.preload_dlls()
    # A path of Windows has a colon of its own, and may have blanks.
    paths = re.findall(r"^Failed to load (.+?): ", said.getvalue(), re.MULTILINE)
    missing = [PureWindowsPath(path).name for path in paths]
    if "Visual C++ Redistributable is not installed" in said.getvalue():
        missing.append("the Microsoft Visual C++ Redistributable")
    return ", ".join(dict.fromkeys(missing))


def _folders_of_wheels(packages: Path) -> list[Path]:
    """Where Windows finds what one of NVIDIA's libraries wants of another wheel.

    They are those that `onnxruntime.preload_dlls` knows: of CUDA 12 nvidia/*/bin, of 13 nvidia/cu13/bin/x86_64.
    """
    return [folder for part in ("bin", "bin/x86_64") for folder in sorted(packages.glob(f"nvidia/*/{part}"))]


@functools.cache
def openvino_library() -> Any:
    """OpenVINO, which when imported reports to its makers from a forked process; that can hang, and is not ours to do.

    A module that is None in `sys.modules` cannot be imported, and OpenVINO then does without it.

    Raises:
        ImportError: it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # typed for modules alone
    return importlib.import_module("openvino")


@functools.cache
def openvino_core() -> Any:
    """One for the process, never freed.

    On CPUs with AMX a core gives its thread a stack for signals and at its end the one before, which, where two cores
    end in the order in which they came, is memory that was freed: the next signal kills the process.
    """
    return openvino_library().Core()


@functools.cache
def openvino_devices() -> tuple[str, ...]:
    """Those that it can run on, by its names: CPU, GPU, GPU.1 and so on."""
    return tuple(openvino_core().available_devices)


def no_bfloat16() -> str | None:
    """Words, unless the CPU multiplies bfloat16, and OpenVINO's kernels may use that."""
    there = processor.has_bfloat16()
    if there is None and importlib.util.find_spec("openvino"):
        there = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if there is None:
        return "whether this CPU has bfloat16 is not known"
    if not there:
        return "this CPU has no bfloat16"
    limit = processor.limit_without_bfloat16()
    if limit is None:
        return None
    return f"{limit[0]}={limit[1]} is set, with which OpenVINO's bf16 fails or crashes on this CPU: unset it"


def openvino_settings(precision: Literal["f32", "bf16"]) -> dict[str, Any]:
    """For a model compiled by OpenVINO's CPU plugin.

    Without the hint the plugin picks bf16 on CPUs that have it, and parity with PyTorch is gone.
    """
    return {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}


def openvino_version() -> str:
    """Without the name of its build."""
    return str(openvino_library().__version__).split("-")[0]
