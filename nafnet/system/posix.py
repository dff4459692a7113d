"""What Linux and macOS have in common."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from nafnet.system.interface import Lock, System, first_line, handed


class Posix(System):
    """Of both."""

    full_disk = (*System.full_disk, errno.EDQUOT)

    def lock(self, file: IO[bytes]) -> Lock:
        """By `flock`, which belongs to the open file and ends with it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Lock.TAKEN if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else Lock.UNSUPPORTED
        return Lock.OURS

    def close_in_forks(self, file: IO[bytes]) -> None:
        """See `System`."""
        os.register_at_fork(after_in_child=file.close)

    def is_own(self, folder: Path) -> bool:
        """By its owner's number: where everybody may write, somebody else may have laid one out."""
        state = folder.lstat()
        return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()

    @property
    def user(self) -> str:
        """The number, as a user of a container has no name."""
        return str(os.getuid())

    def limit_memory(self, most: int) -> int:
        """Of address space (RLIMIT_AS); raises OSError or ValueError where the system knows no such limit."""
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # which only the superuser may raise
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        return most

    def start_with_socket(self, words: Sequence[str], **options: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """The process inherits the other end; its number is the first line of its standard input."""
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                number = theirs.fileno()
                process = subprocess.Popen(words, pass_fds=[number], stdin=subprocess.PIPE, **options)
                handed(process, str(number))
            undo.pop_all()
        return process, ours

    def handed_socket(self) -> socket.socket:
        """See `System`."""
        return socket.socket(fileno=int(first_line(sys.stdin.fileno())))

    def ending(self, code: int) -> str:
        """By the signal's name, where one killed it."""
        if code >= 0:
            return super().ending(code)
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"

    def kill_with_children(self, process: subprocess.Popen[Any]) -> None:
        """By its group, which lives on while one of it does."""
        os.killpg(process.pid, signal.SIGKILL)

    def quiet_crashes(self) -> None:
        """No core file."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
