"""The instructions of the processor that decide which kernels an inference library takes."""

from __future__ import annotations

import importlib
import os

from nafnet.system import SYSTEM

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
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BFLOAT16 = ("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2")


def features() -> tuple[str, ...]:
    """The instructions, and what limits the kernels of oneDNN, where somebody set it."""
    limit = limited_kernels()
    return (*instructions(), *(["=".join(limit)] if limit else []))


def instructions() -> tuple[str, ...]:
    """Those of the instructions above that are there."""
    held = SYSTEM.processor_flags()
    if held is None:
        module = importlib.import_module("numpy._core._multiarray_umath")
        known: dict[str, bool] = getattr(module, "__cpu_features__", {})
        held = frozenset(name for name, theirs in _NUMPY_NAMES.items() if known.get(theirs))
    return tuple(name for name in _TELLING if name in held)


def has_bfloat16() -> bool | None:
    """Whether the CPU multiplies bfloat16 (AMX or AVX512_BF16); None where the system does not say."""
    flags = SYSTEM.processor_flags()
    return None if flags is None else bool(flags & {"amx_bf16", "avx512_bf16"})


def limit_without_bfloat16() -> tuple[str, str] | None:
    """The variable that limits the kernels of oneDNN to some that know no bfloat16, and its value."""
    limit = limited_kernels()
    return limit if limit is not None and limit[1].lower() in _WITHOUT_BFLOAT16 else None


def limited_kernels() -> tuple[str, str] | None:
    """The variable that limits the kernels of oneDNN and its value, where one is set."""
    return next(((name, value) for name in LIMITS if (value := os.environ.get(name))), None)
