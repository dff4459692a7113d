"""Other Pythons that we start: they run our code and the libraries that are installed, never what lies about.

Python puts the current folder first on its path for ``-m`` and ``-c``, and users stand in folders of photographs that
somebody sent them: a `base64.py` in there would be run.
"""

from __future__ import annotations

import os
import sys

_SAFE_PATH = "PYTHONSAFEPATH"


def module_command(module: str, *arguments: str) -> list[str]:
    """The words that start a module of ours in a process of its own."""
    return [sys.executable, "-P", "-m", module, *arguments]


def isolate_children() -> None:
    """From now on no Python that this process starts, by whatever library, has the current folder on its path."""
    os.environ[_SAFE_PATH] = "1"
