"""What the four commands share: how help and misspelt options read, one line for an error, and the exit codes.

0 all done; 1 some inputs failed; 2 could not start; 3 a parity gate refused, or
nafnet-bench found a backend slower than before; 4 it could not tell; 130 interrupted, resumable.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any, ParamSpec

import click

from nafnet.errors import NafnetError
from nafnet.interpreter import isolate_children
from nafnet.system import SYSTEM
from nafnet.words import nearest, printable

INTERRUPTED = 130
GO_ON = "interrupted; run the same command again to go on"

_Arguments = ParamSpec("_Arguments")


class Command(click.Command):
    """A click command that answers a misspelt option with the one or two that may have been meant.

    Args:
        headings: of its help, by the name of the first parameter below each; options before the first stand below
            "Options".
    """

    def __init__(self, *args: Any, headings: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headings = headings or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, but for the suggestions, of which click makes three and counts the hyphens as likeness."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            options = [name for parameter in self.get_params(ctx) for name in parameter.opts if name.startswith("--")]
            meant = " or ".join(nearest(error.option_name, options))
            hint = f" Did you mean {meant}?" if meant else ""
            message = f"No such option {printable(error.option_name)}.{hint}"
            raise click.NoSuchOption(error.option_name, message, ctx=ctx) from None
        except click.UsageError as error:  # it may quote anything
            raise click.UsageError("\n".join(map(printable, error.format_message().split("\n"))), ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each below its heading."""
        heading, rows = "Options", []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue
            heading = self._headings.get(parameter.name or "", heading)
            if record := parameter.get_help_record(ctx):
                rows.append((heading, record))
        for title, group in groupby(rows, lambda row: row[0]):
            with formatter.section(title):
                formatter.write_dl([record for _, record in group])


def exits(command: Callable[_Arguments, int], interrupted: str = GO_ON) -> Callable[_Arguments, None]:
    """Make a click command of a function that returns its exit code.

    A `NafnetError` becomes one line on stderr, with what there is to choose from below it, and its own exit code; a
    disk that refuses becomes a line as well. Ctrl-C becomes 130, with the interrupt's own message if it has one, else
    `interrupted`.
    """

    @functools.wraps(command)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        name = click.get_current_context().find_root().info_name
        isolate_children()
        SYSTEM.prepare_console()
        try:
            code = command(*args, **kwargs)
        except NafnetError as error:
            click.echo(printable(f"{name}: {error}"), err=True)
            for line in error.choices:
                click.echo(printable(f"  {line}"), err=True)
            code = error.exit_code
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(printable(f"{name}: {where}{error.strerror or error}"), err=True)
            code = NafnetError.exit_code
        except MemoryError as error:
            click.echo(printable(f"{name}: out of memory ({error}); choose smaller sizes or batches"), err=True)
            code = NafnetError.exit_code
        except KeyboardInterrupt as stop:
            click.echo(printable(f"{name}: {str(stop) or interrupted}"), err=True)
            code = INTERRUPTED
        sys.exit(code)

    return run
