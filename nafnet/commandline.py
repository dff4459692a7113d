"""What the four commands share: one line for an error, and the exit codes.

0 all done; 1 some inputs failed; 2 could not start; 3 a parity gate refused, or
nafnet-bench found a backend slower than before; 4 it could not tell; 130 interrupted, resumable.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import click

from nafnet.errors import NafnetError

INTERRUPTED = 130

_Arguments = ParamSpec("_Arguments")


def exits(command: Callable[_Arguments, int]) -> Callable[_Arguments, None]:
    """Make a click command of a function that returns its exit code.

    A `NafnetError` becomes one line on stderr and its own exit code, and so does a disk that refuses; Ctrl-C
    becomes 130.
    """

    @functools.wraps(command)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        name = click.get_current_context().find_root().info_name
        try:
            code = command(*args, **kwargs)
        except NafnetError as error:
            click.echo(f"{name}: {' '.join(str(error).split())}", err=True)
            code = error.exit_code
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"{name}: {where}{error.strerror or error}", err=True)
            code = NafnetError.exit_code
        except MemoryError as error:
            click.echo(f"{name}: out of memory ({error}); choose smaller sizes or batches", err=True)
            code = NafnetError.exit_code
        except KeyboardInterrupt:
            click.echo(f"{name}: interrupted; run the same command again to go on", err=True)
            code = INTERRUPTED
        sys.exit(code)

    return run
