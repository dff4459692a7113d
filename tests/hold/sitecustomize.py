"""Python runs this when it starts, where a test has put this folder on PYTHONPATH: the process stops at a named moment.

HOLD_AT is "COUNT PATTERN": right before a COUNT-th file gets a name in which the pattern is found, the process
stops itself (SIGSTOP) until somebody continues or kills it. HOLD_FILE is a file that is not there yet: the first
process that comes to its moment makes it, with its number inside; whoever comes later passes by. On Windows it waits
until the file is removed.
"""

import os
import re
import signal
import sys
import threading
import time


def _hold(count: int, pattern: str, mark: str) -> None:
    seen = 0

    def on_event(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in ("os.rename", "os.link"):
            return
        if not re.search(pattern, os.fsdecode(arguments[1]).replace(os.sep, "/")):  # type: ignore[arg-type]
            return
        seen += 1
        if seen != count:
            return
        try:
            file = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return
        os.write(file, str(os.getpid()).encode())
        os.close(file)
        if hasattr(signal, "SIGSTOP"):
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # any other thread may be late to hear of it
        while not hasattr(signal, "SIGSTOP") and os.path.exists(mark):  # noqa: PTH110, no module is imported for it
            time.sleep(0.01)

    sys.addaudithook(on_event)


if "HOLD_AT" in os.environ:
    _count, _, _pattern = os.environ["HOLD_AT"].partition(" ")
    _hold(int(_count), _pattern, os.environ["HOLD_FILE"])
