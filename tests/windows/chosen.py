"""Which tests run on Windows, and which modules of theirs do not, with the reason."""

from __future__ import annotations

CHOSEN = (
    "tests/windows",
    "tests/nafnet",
    *(f"tests/runtime/paths/test_{name}.py" for name in ("discovery", "journal")),
    *(f"tests/runtime/folder/test_{name}.py" for name in ("names", "decoding", "run", "hostile", "resume")),
    *(f"tests/runtime/backends/test_{name}.py" for name in ("loading", "onnxruntime_builds")),
)
"""What is looked at each time: files, names, locks, processes, pictures."""
ALL = ("tests/windows", "tests/nafnet", "tests/runtime")
SLOW = {
    f"tests/nafnet/images/decoders/test_{name}.py": "a decoder that is looked at with --all"
    for name in ("camera", "heif", "jxl", "raw")
}

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


def words(*, torch: bool, everything: bool) -> list[str]:
    """For pytest."""
    ignored = (f"--ignore={path}" for path in _out(torch=torch, everything=everything))
    return [*(ALL if everything else CHOSEN), *ignored, "-rs", "--durations=5"]


def left_out(*, torch: bool, everything: bool) -> list[str]:
    """Lines of words."""
    lines = [f"left out: {path}: {why}" for path, why in _out(torch=torch, everything=everything).items()]
    return lines if everything else [*lines, "left out: the rest of tests/runtime: it takes half an hour; --all"]


def _out(*, torch: bool, everything: bool) -> dict[str, str]:
    return LEFT_OUT | ({} if torch else NEED_TORCH) | ({} if everything else SLOW)
