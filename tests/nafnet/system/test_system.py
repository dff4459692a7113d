"""What is asked of the operating system, tried with real files and processes on whichever is at hand."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from nafnet.files import exclusive, open_bytes, whole_file
from nafnet.system import SYSTEM, Lock
from tests.platforms import enforced_memory

ASKS_FOR_MEMORY = """
import sys
from nafnet.system import SYSTEM
SYSTEM.limit_memory({limit})
print("limited", flush=True)
held = []
for _ in range({megabytes}):
    held.append(bytearray(b"x" * 2**20))
print("had it")
"""
ANSWERS = """
from nafnet.system import SYSTEM
peer = SYSTEM.handed_socket()
peer.sendall(peer.recv(64)[::-1])
assert peer.recv(1) == b""
"""


def test_a_lock_keeps_others_out_and_lets_them_read(tmp_path: Path) -> None:
    path = tmp_path / "held"
    with path.open("wb+", buffering=0) as ours, path.open("rb") as theirs:
        assert SYSTEM.lock(ours) is Lock.OURS
        ours.write(b"told")
        assert SYSTEM.lock(theirs) is Lock.TAKEN
        assert theirs.read() == b"told"
        ours.write(b" more")
        assert theirs.read() == b" more"
    with path.open("rb") as later:
        assert SYSTEM.lock(later) is Lock.OURS


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "held"
    script = (
        "import sys, time\nfrom nafnet.system import SYSTEM\n"
        f"file = open({str(path)!r}, 'wb')\nprint(SYSTEM.lock(file), flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == "Lock.OURS"
        with exclusive(path) as alone:
            assert not alone
        process.kill()
    with exclusive(path) as alone:
        assert alone


def test_what_is_written_is_what_the_file_gets(tmp_path: Path) -> None:
    """And not text, whose line ends Windows changes."""
    path, content = tmp_path / "bytes", bytes(range(256)) + b"\n\r\n\x1a\n"
    descriptor = open_bytes(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, content)
    os.close(descriptor)
    assert path.read_bytes() == content


def test_a_socket_is_handed_to_a_process() -> None:
    process, ours = SYSTEM.start_with_socket([sys.executable, "-c", ANSWERS])
    with process, ours:
        ours.settimeout(60)
        ours.sendall(b"abc")
        assert ours.recv(64) == b"cba"
        ours.close()
        assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform != "win32", reason="only there is a virtual environment's Python a launcher")
def test_a_socket_goes_past_the_launcher_of_a_virtual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher is a process of its own, to which the socket would be of no use."""
    monkeypatch.setattr(sys, "executable", r"C:\venv\Scripts\python.exe")
    process, ours = SYSTEM.start_with_socket([sys.executable, "-c", ANSWERS])
    with process, ours:
        ours.settimeout(60)
        ours.sendall(b"abc")
        assert ours.recv(64) == b"cba"
        ours.close()
        assert process.wait(60) == 0


def test_a_process_ends_with_the_one_that_started_it() -> None:
    """Also where it does nothing but hang, and the other was killed."""
    hangs = (
        "import time\nfrom nafnet.system import SYSTEM\nfrom nafnet.system.lifeline import end_with\n"
        "end_with(SYSTEM.handed_socket())\nwhile True: time.sleep(1)"
    )
    starts = (
        f"import sys, time\nfrom nafnet.system import SYSTEM\n"
        f"process, line = SYSTEM.start_with_socket([sys.executable, '-c', {hangs!r}])\n"
        "print(process.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        process.kill()
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)


def test_a_process_that_does_not_start_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SYSTEM.start_with_socket([str(tmp_path / "missing")])


@enforced_memory
def test_more_memory_than_the_limit_is_not_had() -> None:
    limited = 1500 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", ASKS_FOR_MEMORY.format(limit=limited, megabytes=3000)], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["limited"]
    assert done.returncode != 0


def test_memory_is_known() -> None:
    available = SYSTEM.available_memory()
    assert available is not None
    assert 0 < available <= psutil.virtual_memory().total
    before = SYSTEM.peak_memory()
    held = bytearray(b"x" * (64 * 2**20))
    assert SYSTEM.peak_memory() >= before > 0
    assert SYSTEM.peak_resident() >= len(held)


def test_children_end_with_what_started_them(tmp_path: Path) -> None:
    told = tmp_path / "child"
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(told)!r}, 'w').write(str(child.pid) + '.')\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        while not (told.is_file() and told.read_text().endswith(".")):
            time.sleep(0.01)
        SYSTEM.kill_with_children(process)
    child = int(told.read_text()[:-1])
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def test_an_exit_code_in_words() -> None:
    assert SYSTEM.ending(3) == "exit code 3"
    dead = subprocess.run(
        [sys.executable, "-c", "import faulthandler; faulthandler._read_null()"], capture_output=True, check=False
    )
    assert SYSTEM.ending(dead.returncode) in ("killed by SIGSEGV", "crashed with 0xC0000005")


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("old")
    with contextlib.suppress(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]
    with whole_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["просмотр.txt", "写真.txt", "Ελλάδα ✓.txt"])
def test_any_name_is_printed_whatever_the_code_page(name: str) -> None:
    script = f"from nafnet.system import SYSTEM; SYSTEM.prepare_console(); print({name!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().rstrip() == name


@pytest.mark.parametrize("verb", ["replace", "remove", "move"])
def test_who_holds_a_file_for_a_moment_is_waited_for(verb: str, tmp_path: Path) -> None:
    """As a scanner of viruses does; without it Windows refuses at once."""
    path, other = tmp_path / "new", tmp_path / "old"
    path.write_text("new")
    if verb == "replace":
        other.write_text("old")
    held = path.open("rb")
    threading.Timer(0.3, held.close).start()
    if verb == "remove":
        SYSTEM.remove(path)
        assert not path.exists()
    else:
        getattr(SYSTEM, verb)(path, other)
        assert other.read_text() == "new"
    held.close()
