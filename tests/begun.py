"""nafnet-run in a process of its own that has begun already: forked from one in which its libraries are loaded.

What a run costs is mostly Python's start and these libraries'. The process is as any other: it has its own signals,
folder, environment, exit code, and what is written to its output by anybody, libraries and children, too. Where the
start itself is what a test looks at, or a hook that Python runs there, the program is started; as on Windows, which
forks none.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import multiprocessing.context
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from nafnet.sessions import openvino_library
from tests.platforms import WINDOWS
from tests.processes import GUARD

LOADED = ("nafnet.runtime.cli", "nafnet.runtime.command", "nafnet.runtime.backends.openvino_cpu", "pyvips")
"""None of them starts a thread, as ONNX Runtime does: it would be missing after the fork."""
PLAIN = "from nafnet.runtime.cli import main; main()"
"""What the program itself does."""


def begun_run(
    words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] = os.environ, *, given: bytes | None = None,
    program: str = PLAIN,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run nafnet-run, or another program, to its end, as `subprocess.run` does."""
    arguments = [str(word) for word in words]
    if WINDOWS:
        named = f"import sys; sys.argv[0] = 'nafnet-run'\n{program}"
        command = [sys.executable, "-c", named, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=environment, input=given or b"", capture_output=True, check=False, timeout=GUARD
        )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "0").write_bytes(given or b"")
        target = functools.partial(_run, program, arguments, folder, str(cwd), dict(environment))
        process = _context().Process(target=target)
        process.start()
        process.join(GUARD)
        if process.exitcode is None:
            process.kill()
            raise AssertionError(f"nafnet-run {arguments} goes on and on")
        printed, errors = (Path(folder, name).read_bytes() for name in "12")
    return subprocess.CompletedProcess(["nafnet-run", *arguments], process.exitcode, printed, errors)


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.loaded"])
    return context


def load() -> None:
    """Import what a run will, before there is one."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's starts them when it is imported
    for module in LOADED:
        importlib.import_module(module)
    openvino_library()
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would be missing after a fork"


def _run(program: str, arguments: list[str], folder: str, cwd: str, environment: dict[str, str]) -> None:
    """Become the program: with its streams, environment, folder and words."""
    for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(Path(folder, str(number)), flags | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["nafnet-run", *arguments]
    exec(program, {"__name__": "__main__"})
