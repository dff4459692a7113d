"""The instructions of the processor that decide which kernels an inference library takes."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
# By the names of Linux. Those for matrices in 8 bits and in half: without them a library takes other kernels, and may
# give other values.
_TELLING = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimddp", "i8mm", "bf16",
)  # fmt: skip
# As NumPy names them, which looks on every system; it knows no others of these.
_NUMPY_NAMES = {
    "avx2": "AVX2", "avx512f": "AVX512F", "avx512_vnni": "AVX512_ICL", "asimd": "ASIMD", "asimddp": "ASIMDDP",
}  # fmt: skip
# The library of OpenVINO's kernels obeys the first of these that is not empty. OpenVINO does not: it asks the
# processor, in its list of capabilities too, and calls kernels that are not there. Its fp32 was right under each.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BFLOAT16 = ("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2")


def features() -> tuple[str, ...]:
    """Those of the instructions above that are there, and what limits the kernels of oneDNN, where somebody set it."""
    held = _flags()
    if held is None:
        module = importlib.import_module("numpy._core._multiarray_umath")
        known: dict[str, bool] = getattr(module, "__cpu_features__", {})
        held = {name for name, theirs in _NUMPY_NAMES.items() if known.get(theirs)}
    limit = limited_kernels()
    return (*(name for name in _TELLING if name in held), *(["=".join(limit)] if limit else []))


def no_bfloat16() -> str | None:
    """Words, unless the CPU multiplies bfloat16 (AMX or AVX512_BF16), and OpenVINO's kernels may use that."""
    flags = _flags()
    if flags is None:
        return "whether this CPU has bfloat16 is not known"
    if not flags & {"amx_bf16", "avx512_bf16"}:
        return "this CPU has no bfloat16"
    limit = limited_kernels()
    if limit is None or limit[1].lower() not in _WITHOUT_BFLOAT16:
        return None
    return f"{limit[0]}={limit[1]} is set, with which OpenVINO's bf16 fails or crashes on this CPU: unset it"


def limited_kernels() -> tuple[str, str] | None:
    """The variable that limits the kernels of oneDNN and its value, where one is set."""
    return next(((name, value) for name in _LIMITS if (value := os.environ.get(name))), None)


def _flags() -> set[str] | None:
    """What Linux says of the processor; None elsewhere."""
    try:
        lines = CPU_INFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.partition(":") for line in lines)
    return {flag for name, _, flags in found if name.strip() in ("flags", "Features") for flag in flags.split()}
