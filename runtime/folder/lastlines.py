"""What a process said last on its standard error."""

from __future__ import annotations

import threading
from collections import deque
from typing import IO

_KEPT = 20
_LONGEST = 4096  # bytes of a line
_SECONDS = 5.0


class LastLines:
    """Reads a stream to its end in a thread of its own: a pipe that nobody empties would stop the process.

    Args:
        stream: of a process; None: nothing was said.
    """

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self._lines = deque[bytes](maxlen=_KEPT)
        self._reader: threading.Thread | None = None
        if stream:
            self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
            self._reader.start()

    def text(self) -> str:
        """All that is kept, once the stream has ended; what its process started may hold it open longer."""
        self._wait()
        return b" ".join(self._lines).decode(errors="replace")

    def last(self) -> str:
        """The last line with something in it, once the stream has ended."""
        self._wait()
        return next((line.decode(errors="replace").strip() for line in reversed(self._lines) if line.strip()), "")

    def _wait(self) -> None:
        if self._reader:
            self._reader.join(_SECONDS)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(_LONGEST):
                self._lines.append(line)
