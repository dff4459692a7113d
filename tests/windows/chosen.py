"""Which tests run on Windows, and which modules of theirs do not, with the reason."""

from __future__ import annotations

FOLDERS = ("tests/nafnet", "tests/runtime", "tests/windows")

_LINUX = "of Linux' and macOS' own classes and files"
_TERMINAL = "its terminal is POSIX'"
_GPU = "the GPU that is played is Linux'"
LEFT_OUT = {
    "tests/nafnet/system/test_linux_memory.py": _LINUX,
    "tests/nafnet/system/test_macos.py": _LINUX,
    "tests/nafnet/system/test_processor.py": _LINUX,
    "tests/nafnet/test_allocator.py": "glibc's allocator",
    "tests/nafnet/test_steps.py": _TERMINAL,
    "tests/runtime/test_gpu.py": "needs a GPU",
    **{
        f"tests/runtime/backends/test_{name}.py": _GPU
        for name in (
            "capture_lock", "cuda_code", "lanes", "onnxruntime_cuda", "tensorrt", "tensorrt_cache",
            "tensorrt_refusals", "torch_cuda", "torch_cuda_stand_in", "two_gpus",
        )
    },
}  # fmt: skip
"""Modules that ask at their head for what Windows has not; within the others, tests are marked by `tests.platforms`."""
NEED_TORCH = {
    "tests/nafnet/test_checkpoint.py": "checkpoints are PyTorch's",
    "tests/nafnet/test_filekind.py": "checkpoints are PyTorch's",
    "tests/windows/test_torch.py": "export and train start there",
}
"""Left out where it is not asked for."""


def words(*, torch: bool) -> list[str]:
    """For pytest."""
    out = LEFT_OUT | ({} if torch else NEED_TORCH)
    return [*FOLDERS, *(f"--ignore={path}" for path in out), "-rs"]


def left_out(*, torch: bool) -> list[str]:
    """Lines of words."""
    out = LEFT_OUT | ({} if torch else NEED_TORCH)
    return [f"left out: {path}: {why}" for path, why in out.items()]
