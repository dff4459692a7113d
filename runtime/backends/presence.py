"""What this machine has, found out without loading an inference library."""

from __future__ import annotations

from pathlib import Path


def no_bfloat16() -> str | None:
    """Words, unless the CPU multiplies bfloat16 (AMX or AVX512_BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "whether this CPU has bfloat16 is not known"
    return None if "amx_bf16" in flags or "avx512_bf16" in flags else "this CPU has no bfloat16"
