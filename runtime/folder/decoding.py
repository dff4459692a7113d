"""Decode files in a process of their own, with limits on time and memory: one bad file is one error."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from nafnet.closing import Closing
from nafnet.errors import DecodingError, ImageError, one_line
from nafnet.images.header import Header
from nafnet.images.pixels import Rows
from nafnet.interpreter import module_command
from nafnet.runtime.folder.causes import of_death
from nafnet.runtime.folder.lastlines import LastLines
from nafnet.runtime.folder.settings import Limits
from nafnet.runtime.folder.worker import DIGEST, END, FAILED, FRAME, HEADER, ROWS, header_from_json
from nafnet.system import SYSTEM

BAND_BYTES = 2**20
"""Of rows at a time: the pages of larger blocks are given back to the kernel each time, and cleared by it."""
SECONDS_PER_MEGAPIXEL = 1.0
"""Added to the limit for a whole file, so that large ones on slow disks are not taken for a hang."""
_MOST_HEADER_BYTES = 256 * 2**20  # profiles and maker notes are kilobytes to megabytes
_ALONE = {"VIPS_CONCURRENCY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_START_SECONDS = 120.0


class DecoderStopped(BaseException):
    """The run ends: no error of the file at hand."""


class Decoder(Closing):
    """One decoding process, started when first needed and again after a crash. It serves one thread."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        """What one file may take."""
        self.damage = ""
        """What is wrong with the file that was decoded last, in words; empty if nothing is known to be."""
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._said = LastLines()
        self._socket: socket.socket | None = None
        self._unread: object | None = None
        """The decoding whose rows have not all been taken."""
        self._stopped = False
        self._left = 0.0  # seconds of waiting that the file at hand may still take

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's bytes, in hexadecimal.

        Raises:
            ImageError: it cannot be read, or reading it hangs.
        """
        if not path.is_file():
            what = "not a regular file" if path.exists() else "cannot be read (No such file, or a link to none)"
            raise ImageError(f"{path}: {what}")  # reading a pipe would wait for a writer
        self._left = self.limits.seconds + path.stat().st_size / 1e6  # a slow disk gives 1 MB/s
        self._ask(path, "digest")
        return str(self._receive(path, DIGEST), "ascii")

    def header(self, path: Path) -> Header:
        """What a file says of itself.

        Raises:
            ImageError: as `nafnet.images.reader.open_image`, or it hangs or crashes the decoder.
        """
        self._left = self.limits.seconds
        self._ask(path, "header")
        header = header_from_json(self._receive(path, HEADER))
        self._receive(path, END)
        return header

    def decode(self, path: Path) -> Generator[Header | Rows, None, None]:
        """The header, then all rows from the top in bands, [n,W,C]. Left before its end, it stops the process.

        Close it where it may be left; until then the next file has to start another process.

        Raises:
            ImageError: the file is damaged, or it hangs or crashes the decoder.
        """
        self._left = self.limits.seconds
        ours = object()
        try:
            self._ask(path, "decode")
            self._unread = ours
            header = header_from_json(self._receive(path, HEADER))
            self._left += SECONDS_PER_MEGAPIXEL * header.pixels / 1e6
            self.damage = ""
            yield header
            rows_done = 0
            while rows_done < header.rows:
                assert self._unread is ours, f"{path}: another file was begun meanwhile"
                band = np.frombuffer(self._receive(path, ROWS), header.pixel_type)
                band = band.reshape(-1, header.width, header.bands)
                rows_done += len(band)
                yield band
            self.damage = str(self._receive(path, END), "utf-8")
            self._unread = None
            if self.damage and self.limits.strict:
                raise ImageError(
                    f"{path}: damaged {header.format.upper()} ({self.damage}); without --strict it is restored"
                )
        except ImageError:
            if self._unread is ours:
                self._unread = None  # it said so itself, or is stopped already
            raise
        finally:
            if self._unread is ours:  # and no other file has been begun since
                self.close()

    @property
    def is_usable(self) -> bool:
        """Whether it can go on: not stopped, its process not dead since the last file, and not that of a parent."""
        alive = self._process is None or self._process.poll() is None
        return self._owner == os.getpid() and alive and not self._stopped

    def stop(self) -> None:
        """From another thread: end what is being decoded; it and all that follows raise DecoderStopped."""
        self._stopped = True
        process = self._process
        if process:
            process.kill()

    def close(self) -> None:
        """Stop the process."""
        if self._socket:
            self._socket.close()
        if self._process and self._owner == os.getpid():  # a fork has no say in it
            self._process.kill()
            self._process.wait()
        self._process = self._socket = self._unread = None

    def _start(self) -> socket.socket:
        """Start the process, and wait until it says that it is there.

        Raises:
            DecodingError: it ended instead; the message is its last line.
        """
        words = module_command("nafnet.runtime.folder.worker", str(self.limits.memory))
        try:
            process, ours = SYSTEM.start_with_socket(words, stderr=subprocess.PIPE, env={**os.environ, **_ALONE})
        except OSError as error:
            raise DecodingError(
                f"the decoding process cannot be started ({words[0]}: {error.strerror or error})"
            ) from error
        self._process, self._socket = process, ours
        self._said = said = LastLines(process.stderr)
        ours.settimeout(_START_SECONDS)
        try:
            started = ours.recv(FRAME.size)
        except OSError:
            started = b""
        if not started:
            process.kill()
            code = process.wait()
            self.close()
            if self._stopped:
                raise DecoderStopped
            last = said.last()
            raise DecodingError(
                f"the decoding process does not start ({last or SYSTEM.ending(code)}); install the project anew, "
                f"or raise --decode-memory, which is {self.limits.memory / 2**20:.0f} MB"
            )
        return ours

    def _ask(self, path: Path, verb: str) -> None:
        command = {
            "path": os.fsencode(path).hex(), "verb": verb,
            "max_pixels": self.limits.max_pixels, "band_bytes": BAND_BYTES,
        }  # fmt: skip
        if self._stopped:
            raise DecoderStopped
        if self._unread is not None:  # whoever left a file has not let go of it yet
            self.close()
        peer = self._socket or self._start()
        try:
            peer.sendall(json.dumps(command).encode() + b"\n")
        except OSError:
            self._crashed(path)

    def _receive(self, path: Path, expected: bytes) -> memoryview:
        """The next frame's content."""
        kind, length = FRAME.unpack(self._read(path, FRAME.size))
        if length > max(_MOST_HEADER_BYTES, 2 * BAND_BYTES) and kind != ROWS:
            self.close()
            raise ImageError(f"{path}: its metadata takes {length / 2**20:.0f} MB; expected a photograph")
        data = self._read(path, length)
        if kind == FAILED:
            reason = str(data, "utf-8", "replace")
            named = one_line(str(path)) in reason or "name is not UTF-8" in reason
            raise ImageError(reason if named else f"{path}: {reason}")
        assert kind == expected
        return data

    def _read(self, path: Path, length: int) -> memoryview:
        assert self._socket is not None
        data: Any = np.empty(length, np.uint8)  # not set to zeros first
        view, done = memoryview(data), 0
        while done < length:
            started = time.monotonic()
            self._socket.settimeout(max(self._left, 0.001))
            try:
                count = self._socket.recv_into(view[done:])
            except TimeoutError:
                self.close()
                raise ImageError(f"{path}: decoding it took too long, over {self.limits.seconds:.0f} s") from None
            except OSError:
                count = 0
            self._left -= time.monotonic() - started
            if not count:
                self._crashed(path)
            done += count
        return view

    def _crashed(self, path: Path) -> NoReturn:
        if self._stopped:
            raise DecoderStopped
        assert self._process is not None
        code: Any = self._process.wait()
        self.close()
        if memory := of_death(self._said.text(), self.limits.memory):
            raise ImageError(f"{path}: {memory}")
        raise ImageError(
            f"{path}: the decoder died of it ({SYSTEM.ending(code)}); the file is damaged, or needs too much memory"
        )
