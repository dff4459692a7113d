"""The process that decodes: ``python -P -m nafnet.runtime.folder.worker MEMORY``, started with a socket.

A decoder of untrusted files can hang, crash, or ask for all memory there is. Here it takes only itself down, and
`nafnet.runtime.folder.decoding` starts another. It reads commands, lines of JSON, from a socket and answers with
frames.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nafnet.errors import ImageError, NafnetError
from nafnet.files import file_sha256
from nafnet.images.colour.said import said_from_json, said_to_json
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import Metadata
from nafnet.images.reader import open_image
from nafnet.images.timing import Timing
from nafnet.runtime.folder.causes import explained, too_little, use_temporary_folder
from nafnet.system import SYSTEM
from nafnet.system.lifeline import end_with

FRAME = struct.Struct("!cQ")
"""Kind and length of what follows."""
READY, DIGEST, HEADER, ROWS, END, FAILED = b"Y", b"D", b"H", b"R", b"E", b"F"


def header_to_json(header: Header) -> bytes:
    """A header as it crosses the socket."""
    fields = {field.name: getattr(header, field.name) for field in dataclasses.fields(header)}
    plain = {"metadata": header.metadata.to_json(), "said": said_to_json(header.said)}
    plain["timing"] = header.timing.to_json()
    return json.dumps({**fields, **plain}).encode()


def header_from_json(data: bytes | memoryview) -> Header:
    """What `header_to_json` wrote."""
    fields = json.loads(bytes(data))
    metadata = Metadata.from_json(fields["metadata"])
    own = {"said": said_from_json(fields["said"]), "timing": Timing.from_json(fields["timing"])}
    return Header(**{**fields, **own, "metadata": metadata, "notes": tuple(fields["notes"])})


def _send(peer: socket.socket, kind: bytes, data: bytes | memoryview) -> None:
    peer.sendall(FRAME.pack(kind, len(data)))
    peer.sendall(data)


def _answer(peer: socket.socket, command: dict[str, Any], memory: int) -> None:
    path = Path(os.fsdecode(bytes.fromhex(command["path"])))
    try:
        _answer_for(peer, command, path)
    except ImageError as error:
        raise ImageError(explained(error, path, memory)) from error


def _answer_for(peer: socket.socket, command: dict[str, Any], path: Path) -> None:
    reader = open_image(path, max_pixels=command["max_pixels"])
    if command["verb"] == "digest":  # of what is an image: no disk is read through for a file that is none
        _send(peer, DIGEST, file_sha256(path).encode())
        return
    _send(peer, HEADER, header_to_json(reader.header))
    if command["verb"] == "decode":
        count = max(command["band_bytes"] // reader.header.row_bytes, 1)
        for rows in reader.rows(count):
            _send(peer, ROWS, np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    _send(peer, END, reader.damage.encode("utf-8", "backslashreplace"))


def main() -> None:
    """Answer commands until the socket closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    peer = SYSTEM.handed_socket()
    memory = int(sys.argv[1])
    if memory:
        memory = SYSTEM.limit_memory(memory)
    SYSTEM.quiet_crashes()
    use_temporary_folder()
    end_with(peer)
    _send(peer, READY, b"")
    for line in peer.makefile("rb"):
        try:
            _answer(peer, json.loads(line), memory)
        except (BrokenPipeError, ConnectionResetError):
            return
        except NafnetError as error:
            _send(peer, FAILED, str(error).encode("utf-8", "backslashreplace"))
        except MemoryError:
            _send(peer, FAILED, too_little(memory).encode())
        except OSError as error:
            _send(peer, FAILED, f"cannot be read ({error.strerror or error})".encode())
        except Exception as error:  # the boundary between one file and the others
            _send(peer, FAILED, f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    main()
