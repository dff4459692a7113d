"""Texts without what is nobody's business: folders of the user's home, names of the user and of the machine."""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import re
import socket
from pathlib import Path

import psutil

from nafnet.errors import one_line

MOST = 300
"""Characters of what is quoted of a library."""
_SERIAL = re.compile(r"\b(GPU|MIG)-[0-9a-fA-F-]{8,}")
"""The number that tells one card from all others, as CUDA_VISIBLE_DEVICES may have it."""
_USER_VARIABLES = ("USER", "LOGNAME", "LNAME", "USERNAME")
_OF_ALL = {"", "localhost"}


def discreet(text: str) -> str:
    """A text of a library's, of the system's or of a path, in which homes are ~, and names stand for themselves."""
    for home in _homes():
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    for word, shown in _names().items():
        text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", shown, text, flags=re.IGNORECASE)
    return _SERIAL.sub(r"\1-...", text)


def quoted(text: str) -> str:
    """Of a text of a library's so much as fits a report, as one line, without private names."""
    line = discreet(one_line(text))
    return line if len(line) <= MOST else f"{line[: MOST - 3]}..."


@functools.cache
def _homes() -> tuple[str, ...]:
    """As they may be written, the longest first; a root that is somebody's home is none."""
    found = set()
    for home in ("~", *(f"~{user}" for user in _users())):
        with contextlib.suppress(RuntimeError):  # there is none
            path = Path(home).expanduser()
            found |= {path, path.resolve()}
    return tuple(sorted((str(path) for path in found if path != Path(path.anchor)), key=len, reverse=True))


@functools.cache
def _names() -> dict[str, str]:
    """What is replaced, by what, the longest first."""
    hosts = {socket.gethostname()}
    hosts |= {host.partition(".")[0] for host in hosts}
    found = dict.fromkeys(_users(), "<user>") | dict.fromkeys(hosts - _OF_ALL, "<host>")
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


@functools.cache
def _users() -> frozenset[str]:
    """By the environment, and by the system, which has a domain before the name on Windows."""
    found = {os.environ.get(name, "") for name in _USER_VARIABLES}
    with contextlib.suppress(OSError, KeyError, psutil.Error):  # the unknown user of a container
        found |= set(re.split(r"[\\/]", psutil.Process().username()))
    with contextlib.suppress(OSError, KeyError, ImportError):
        found.add(getpass.getuser())
    return frozenset(found - _OF_ALL)
