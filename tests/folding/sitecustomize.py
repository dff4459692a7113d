"""Python runs this when it starts, where a test has put this folder on PYTHONPATH: a folder behaves as on another disk.

Below FOLD_ROOT two names are one if they differ in case, or in how an accent is composed, as on exFAT, NTFS and APFS:
each path is turned into the name that is there already. With FOLD_NO_LINKS the folder has no hard links either, as FAT
has none. Where the kernel mounts no such file system, this is the nearest there is: it changes what the system calls
of Python see, and nothing else.
"""

import builtins
import errno
import io
import os
import unicodedata
from collections.abc import Callable
from typing import Any


def _folded(name: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def _install(root: str) -> None:
    listdir, fspath = os.listdir, os.fspath

    def real(path: Any) -> Any:
        try:
            text = os.fsdecode(fspath(path))
        except TypeError:
            return path  # a file descriptor
        absolute = os.path.normpath(os.path.join(os.getcwd(), text))  # noqa: PTH109, PTH118, pathlib calls what is changed
        if not absolute.startswith(root + os.sep):
            return path
        found = root
        for part in filter(None, absolute[len(root) :].split(os.sep)):  # noqa: PTH206
            try:
                there = listdir(found)
            except OSError:
                there = []
            alike = part if part in there else next((name for name in there if _folded(name) == _folded(part)), part)
            found = os.path.join(found, alike)  # noqa: PTH118
        return found

    def one(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda path=".", *rest, **options: function(real(path), *rest, **options)

    def two(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda first, second, *rest, **options: function(real(first), real(second), *rest, **options)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    for name in ("stat", "lstat", "open", "mkdir", "unlink", "remove", "rmdir", "scandir", "access", "chmod"):
        setattr(os, name, one(getattr(os, name)))
    for name in ("rename", "replace", "link"):
        setattr(os, name, two(getattr(os, name)))
    if "FOLD_NO_LINKS" in os.environ:
        os.link = no_links  # type: ignore[assignment]
    io.open = builtins.open = one(builtins.open)


if "FOLD_ROOT" in os.environ:
    _install(os.environ["FOLD_ROOT"])
