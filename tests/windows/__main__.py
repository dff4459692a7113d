"""`python -m tests.windows`: tests of the project on Windows' Python, under Wine.

Says why and ends with 0 where there can be no Wine.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.windows import chosen
from tests.windows.machine import machine
from tests.windows.python import HOME
from tests.windows.reference import VARIABLE
from tests.windows.wine import NoWineError


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.windows", description=__doc__)
    parser.add_argument("--torch", action="store_true", help="with PyTorch: export and train start there, too")
    parser.add_argument("--all", action="store_true", help="every test that can run there")
    parser.add_argument("--python", action="store_true", help="give the words to Python in place of pytest")
    parser.add_argument("words", nargs="*", help="for pytest, after --")
    given = parser.parse_args()
    start = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # programs under Wine end with this one
    try:
        here = machine(torch=given.torch, said=_said(start))
    except NoWineError as reason:
        print(f"tests on Windows are skipped: {reason}")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"{error}\n{error.stderr or ''}", file=sys.stderr)
        return 1
    words = [f"{HOME}/python.exe", "-u", *([] if given.python else ["-m", "pytest", "-p", "no:cacheprovider"])]
    environment = {"OMP_NUM_THREADS": "1", "NAFNET_ON_WINE": "1", VARIABLE: "C:/reference"}
    wanted = given.words or chosen.words(torch=given.torch, everything=given.all)
    if not given.words:
        print(*chosen.left_out(torch=given.torch, everything=given.all), sep="\n")
    try:
        for line in here.wine.lines([*words, *wanted], folder=here.tree, environment=environment):
            print(line, end="", flush=True)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    finally:
        here.said("Done")
    return 0


def _said(start: float) -> Callable[[str], None]:
    return lambda words: print(f"[{time.monotonic() - start:5.0f} s] {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
