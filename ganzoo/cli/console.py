"""Rich consoles and tables. Import this module inside commands: rich takes time to load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import rich.console
from rich.cells import cell_len
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from ganzoo.core.text import printable

__all__ = ["Console", "escape", "table"]

NAME_WIDTH = 24
"""A first column of no more than this keeps its width in narrow terminals, so that names can be copied from it."""
MIN_WIDTH = 20
"""Columns that a terminal has at least, whatever it says: with COLUMNS=0 nothing would be printed."""


class Console(rich.console.Console):
    """A rich console that writes no control characters from the text it is given.

    It writes plain text if NO_COLOR is set; rich itself would keep bold.
    """

    def __init__(self, **options: Any):
        plain = {"color_system": None} if os.environ.get("NO_COLOR") else {}
        super().__init__(**(plain | options))
        if self.width < MIN_WIDTH:
            self.width = MIN_WIDTH

    def render(self, renderable: Any, options: rich.console.ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, and escape what would control the terminal: text may come from any run."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def print_line(self, text: str) -> None:
        """Print one line without markup and without line breaks, so that a path in it can be copied."""
        self.print(text, soft_wrap=True, markup=False, highlight=False)

    def print_prose(self, text: str) -> None:
        """Print text with markup: wrapped between words on a terminal, one line elsewhere."""
        self.print(text, soft_wrap=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        """The reader closed the pipe (e.g. `head`): continue without output."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """A table without borders; cells are shown without markup, and wrapped rather than cut. Names come first."""
    cells = [[str(cell) for cell in row] for row in rows]
    longest = max(cell_len(text) for text in (columns[0], *(row[0] for row in cells)))
    result = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for i, column in enumerate(columns):
        width = longest if i == 0 and longest <= NAME_WIDTH else None
        style = "cyan" if i == 0 else ""
        result.add_column(column, header_style="bold", style=style, width=width, overflow="fold")
    for row in cells:
        result.add_row(*map(escape, row))
    return result
