"""A table in words, for the terminal, for Markdown and for pages."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table in words; the first column names the rows, the others are aligned to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_rich(self) -> Table:
        """For the terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.title), title_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*(escape(cell) for cell in row))
        return table

    def to_markdown(self) -> str:
        """A pipe table under a heading."""
        escaped = [[in_markdown(cell) for cell in row] for row in (self.columns, *self.rows)]
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])]
        return "\n".join([f"### {in_markdown(self.title)}", "", *lines, ""])


def in_markdown(cell: str) -> str:
    """A library's message and a file's name may have any characters, and lines."""
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")
