"""A web server for one folder and this machine alone, with the headers that a page needs for threads."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.server
import sys
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nafnet.errors import UsageError

PORT = 8000
HEADERS = {
    # With these two a page is isolated from others, and may have memory that its threads share.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # The page states the same; its worker has only what comes with it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; style-src 'self'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # ask whether it is as it was: an export may have replaced it
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, read only."""

    # A system's own table of types may know neither, and a browser runs no module of another type.
    extensions_map = {  # noqa: RUF012, as the base class has it
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm",
        ".html": "text/html; charset=utf-8", ".json": "application/json",
    }  # fmt: skip
    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def list_directory(self, path: Any) -> None:
        """No listing of folders."""
        del path
        self.send_error(http.HTTPStatus.NOT_FOUND)


@contextlib.contextmanager
def served(folder: Path, port: int | None = None) -> Iterator[http.server.ThreadingHTTPServer]:
    """A server of `folder`, which answers on this machine alone once `serve_forever` is called.

    Args:
        folder: what is served.
        port: None takes `PORT`, or a free one where that is taken.

    Raises:
        UsageError: the port cannot be had.
    """
    handler = functools.partial(_Handler, directory=str(folder))
    server = None
    for tried in (PORT, 0) if port is None else (port,):
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", tried), handler)
            break
        except OSError as error:
            if port is None and tried and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise UsageError(f"--port {tried}: cannot be had ({error.strerror or error}); choose another") from error
    assert server is not None
    server.daemon_threads = True
    with server:
        yield server


def serve(folder: Path, port: int | None, say: Callable[[str], None]) -> int:
    """Serve `folder` until Ctrl-C, and open it in the browser of whoever sits at a terminal; returns the exit code.

    Raises:
        UsageError: see `served`.
    """
    with served(folder, port) as server:
        say(f"serving {folder} at {address(server)}, to this machine alone; Ctrl-C ends it")
        if sys.stdout.isatty():
            webbrowser.open(address(server))
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def address(server: http.server.ThreadingHTTPServer) -> str:
    """Where a browser finds it. By this name, it counts as safe without a certificate."""
    return f"http://localhost:{server.server_address[1]}/"
