"""What memory there is, of the machine, the control group and the process; from a file system made for the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nafnet.system.linux_memory import available_bytes, memory_limits

MB = 2**20
V2 = {
    "proc/self/cgroup": "0::/pod/box\n",
    "sys/fs/cgroup/pod/memory.max": f"{900 * MB}\n", "sys/fs/cgroup/pod/memory.current": f"{100 * MB}\n",
    "sys/fs/cgroup/pod/box/memory.max": f"{2000 * MB}\n", "sys/fs/cgroup/pod/box/memory.current": f"{500 * MB}\n",
}  # fmt: skip
V1 = {
    "proc/self/cgroup": "3:cpu,memory:/box\n1:name=systemd:/box\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{700 * MB}\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{400 * MB}\n",
    "sys/fs/cgroup/memory/box/memory.stat": f"cache 5\ntotal_inactive_file {50 * MB}\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
}
LIMITS = "Limit                     Soft Limit           Hard Limit           Units\n"
ULIMIT = {
    "proc/self/limits": f"{LIMITS}Max address space         {600 * MB}            unlimited            bytes\n",
    "proc/self/status": "Name:\tpython\nVmSize:\t  102400 kB\n",
}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, 8000),
        (V2, 800),
        # A parent's limit counts as well, and what is cached of files can be dropped.
        ({**V2, "sys/fs/cgroup/pod/memory.max": "max\n"}, 1500),
        ({**V2, "sys/fs/cgroup/pod/memory.stat": f"anon 1\ninactive_file {60 * MB}\n"}, 860),
        # In a container its own group is the root, whatever path it is told.
        ({
            "proc/self/cgroup": "0::/../elsewhere\n", "sys/fs/cgroup/memory.max": f"{300 * MB}",
            "sys/fs/cgroup/memory.current": f"{100 * MB}",
        }, 200),
        (V1, 350),
        (ULIMIT, 500),
        ({**V1, **ULIMIT}, 350),
        ({**V2, "sys/fs/cgroup/pod/memory.current": f"{950 * MB}"}, 0),
        ({**V2, "sys/fs/cgroup/pod/memory.max": "nonsense", "proc/self/cgroup": "0::/pod\n"}, 8000),
    ],
)  # fmt: skip
def test_the_least_counts(more: dict[str, str], expected: int, tmp_path: Path) -> None:
    files = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {8000 * 1024} kB\n", **more}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    assert available_bytes(tmp_path) == expected * MB


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="no proc")
def test_a_real_ulimit_is_heard() -> None:
    import resource

    script = "from nafnet.system.linux_memory import available_bytes; print(available_bytes())"
    limit = 3 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert 0 < int(done.stdout) < limit


def test_limits_by_what_sets_them(tmp_path: Path) -> None:
    """Of the control groups the least; what sets none is not there."""
    assert memory_limits(tmp_path) == {}
    for name, text in {**V2, **ULIMIT}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    assert memory_limits(tmp_path) == {"ulimit -v": 600 * MB, "cgroup": 900 * MB}
    (tmp_path / "proc/self/limits").write_text(f"{LIMITS}Max address space   unlimited  unlimited  bytes\n")
    (tmp_path / "sys/fs/cgroup/pod/memory.max").write_text("max\n")
    assert memory_limits(tmp_path) == {"cgroup": 2000 * MB}
