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
_TELLING, _LONGEST_SHORT = 5, 8
_OF_ALL = {"", "localhost"}


def discreet(text: str) -> str:
    """A text of a library's, of the system's or of a path, in which homes are ~, and names stand for themselves."""
    for home in _homes():
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    for pattern, shown in _names().items():
        text = re.sub(pattern, shown, text, flags=re.IGNORECASE)
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
    """What is replaced, as a pattern, by what; the longest first.

    A name of some length is one also as a part of a word, as a folder's; a short one, as "ann", is in many words.
    """
    hosts = {socket.gethostname()}
    hosts |= {host.partition(".")[0] for host in hosts}
    found = dict.fromkeys(_users(), "<user>") | dict.fromkeys(hosts - _OF_ALL, "<host>")
    # Windows' short form of a name, as in C:\\Users\\JOHNSM~1.
    found |= {f"{name.replace(' ', '')[:6]}~1": "<user>" for name in _users() if len(name) > _LONGEST_SHORT}
    names = sorted(found.items(), key=lambda item: -len(item[0]))
    return {_pattern(name, apart=shown == "<host>" or len(name) < _TELLING): shown for name, shown in names}


def _pattern(name: str, *, apart: bool) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])" if apart else re.escape(name)


@functools.cache
def _users() -> frozenset[str]:
    """By the environment, and by the system, which has a domain before the name on Windows."""
    found = {os.environ.get(name, "") for name in _USER_VARIABLES}
    with contextlib.suppress(OSError, KeyError, psutil.Error):  # the unknown user of a container
        found |= set(re.split(r"[\\/]", psutil.Process().username()))
    with contextlib.suppress(OSError, KeyError, ImportError):
        found.add(getpass.getuser())
    return frozenset(found - _OF_ALL)
