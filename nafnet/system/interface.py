"""What the project asks of an operating system; each has a module, and `nafnet.system.SYSTEM` is the one at hand."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import enum
import errno
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any


class Lock(enum.Enum):
    """What came of locking a file."""

    OURS = "ours"
    """Until the file is closed or the process ends, however it ends."""
    TAKEN = "taken"
    """By another process, or by another open file of this one."""
    UNSUPPORTED = "unsupported"
    """The file system has no such locks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adapter:
    """A graphics adapter, as the system knows it."""

    name: str
    driver: str
    """And its version; nothing where there is none."""


class System(abc.ABC):
    """One operating system. What is not abstract holds for most of them."""

    cuda_driver: str
    """The file name of NVIDIA's driver for CUDA, as its loader finds it,"""
    cudnn: str
    """and of cuDNN 9."""
    vulkan: str | None = None
    """The file name of the loader of Vulkan's drivers, where WebGPU reaches the GPU by it."""
    inference: frozenset[str] = frozenset()
    """What runs networks on this system and on no other: coreml, directml, migraphx."""
    full_disk: tuple[int, ...] = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EFBIG)
    """Numbers of errors by which a disk refuses whatever is written next."""
    ending_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    """By which a process is asked to end, Ctrl-C aside."""
    renames_to_free_names_alone = False
    """Whether `move` refuses a name that is taken, with FileExistsError."""
    most_waited_for = sys.maxsize
    """Processes that one can wait for at once."""

    # Files

    @abc.abstractmethod
    def lock(self, file: IO[bytes]) -> Lock:
        """Lock an open file, without waiting; its content can be read by others all the same."""

    def close_in_forks(self, file: IO[bytes]) -> None:
        """From now on, a process that is forked from this one closes the file, and so does not keep its lock."""

    def sync(self, file: IO[Any]) -> None:
        """Return when what was written to a file is on the disk; raises OSError where the disk refuses."""
        os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        """Give a file a name in the same folder, in the place of the file that has it; raises OSError."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there; raises OSError."""
        path.unlink(missing_ok=True)

    def move(self, source: Path, target: Path) -> None:
        """Rename a folder, or a file to a name that is free; raises OSError."""
        source.rename(target)

    @property
    def full_disk_words(self) -> tuple[str, ...]:
        """What other libraries say of `full_disk`; not of a number for which the C library has no words."""
        said = map(os.strerror, self.full_disk)
        return tuple(words for words in said if not words.lower().startswith("unknown error"))

    def is_own(self, folder: Path) -> bool:
        """Whether a folder was made by this very user; it is a link that is asked, not where it leads."""
        return folder.is_dir() and not folder.is_symlink()

    @property
    def user(self) -> str:
        """Tells this user from others in a name."""
        return "user"

    # Memory and processor

    def available_memory(self) -> int | None:
        """Bytes that can be had without swapping; None where it is not known."""
        import psutil  # where it is needed, since it takes as long to import as all the rest of this

        return int(psutil.virtual_memory().available)

    @abc.abstractmethod
    def limit_memory(self, most: int) -> int:
        """From now on this process gets so many bytes of memory and no more.

        Returns:
            The limit that holds, which may have been lower.
        """

    def peak_memory(self) -> int:
        """The most bytes that this process has had, of the kind that `limit_memory` counts; 0 where nobody counts."""
        return self.peak_resident()

    @abc.abstractmethod
    def peak_resident(self) -> int:
        """The most bytes of this process that were in the machine's memory at once."""

    def keep_memory(self, block: int, free: int) -> bool:
        """Have the C library keep what is freed; see `nafnet.allocator`. Returns whether it can be told to."""
        del block, free
        return False

    def trim_memory(self) -> None:
        """Have the C library give back what is free; nothing where it does so by itself, or cannot."""

    def memory_limits(self) -> dict[str, int]:
        """Bytes that this process may have at most, by what says so; without what says nothing."""
        return {}

    def cores(self) -> int:
        """That this process may use, which in a container are fewer than the machine has."""
        return os.cpu_count() or 1

    def processor(self) -> str:
        """The processor by its maker's name."""
        return os.environ.get("PROCESSOR_IDENTIFIER") or "unknown"

    def processor_flags(self) -> frozenset[str] | None:
        """The processor's instructions, by Linux's names; None where the system does not list them."""
        return None

    def may_have_graphics(self) -> bool:
        """Whether there may be a GPU that is programmed through the system's graphics; False only where it is known."""
        return True

    def may_have_rocm(self) -> bool:
        """Whether there may be a GPU that AMD's libraries for computing drive; False only where it is known."""
        return False

    def adapters(self) -> tuple[Adapter, ...]:
        """The graphics adapters that the system lists, of any maker."""
        return ()

    @property
    def release(self) -> str:
        """The version of the system, in its maker's words."""
        return platform.version()

    @property
    def description(self) -> str:
        """Of the system and the machine's kind, as "Linux x86_64"."""
        return f"{platform.system()} {platform.machine()}"

    # Processes

    @abc.abstractmethod
    def start_with_socket(self, words: Sequence[str], **options: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a process that is joined to this one by a socket, which it gets from `handed_socket`.

        Args:
            words: of the command.
            options: for `subprocess.Popen`, but for its standard input.

        Raises:
            OSError: it cannot be started.
        """

    @abc.abstractmethod
    def handed_socket(self) -> socket.socket:
        """In a process that was started by `start_with_socket`: the socket."""

    def ending(self, code: int) -> str:
        """In words: how a process ended."""
        return f"exit code {code}"

    def kill_with_children(self, process: subprocess.Popen[Any]) -> None:
        """End a process that leads a session of its own, and all that it started; raises OSError."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        process.kill()

    def quiet_crashes(self) -> None:
        """If this process crashes, it leaves no file of its memory, and no window asks about it."""

    # Libraries and the console

    def add_library_folders(self, folders: Callable[[], Sequence[Path]]) -> None:
        """Have the loader look into folders, where it would not find a library's neighbours by itself."""

    def loading_remedy(self, error: Exception) -> str:
        """What helps where a library is installed and the loader refuses it; empty where nothing is known to."""
        del error
        return ""

    @abc.abstractmethod
    def library(self, name: str) -> str:
        """The file name of a shared library."""

    def prepare_console(self) -> None:
        """Whatever is printed can be: no name in another script ends a command."""


def first_line(descriptor: int) -> str:
    """A line from a file descriptor, and not a byte more."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        line += byte
    return line.decode("ascii").strip()


def handed(process: subprocess.Popen[bytes], line: str) -> None:
    """Write a line to a new process, and close its standard input.

    That it ended before is found out by whoever waits for its answer.
    """
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(f"{line}\n".encode("ascii"))
        process.stdin.close()
