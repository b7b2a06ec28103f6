"""The one place that makes rich consoles and tables. Import it inside commands: rich takes time to load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import rich.console
from rich.markup import escape
from rich.table import Table

__all__ = ["Console", "escape", "table"]


class Console(rich.console.Console):
    """rich's console. Under NO_COLOR rich leaves out colours but not bold; this one writes text as it is."""

    def __init__(self, **options: Any):
        plain = {"color_system": None} if os.environ.get("NO_COLOR") else {}
        super().__init__(**(plain | options))

    def tell(self, text: str) -> None:
        """Print one line as it is: no markup, no break that would be copied with a path."""
        self.print(text, soft_wrap=True, markup=False, highlight=False)

    def say(self, text: str) -> None:
        """Print prose, markup included: it breaks between words on a terminal, and is one line elsewhere."""
        self.print(text, soft_wrap=not self.is_terminal)

    def on_broken_pipe(self) -> None:
        """Whoever read our words has left, as `head` does; the work goes on without them."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """A plain table of text; cells are shown as they are, and wrap rather than vanish."""
    result = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for i, column in enumerate(columns):
        result.add_column(column, header_style="bold", style="cyan" if i == 0 else "", overflow="fold")
    for row in rows:
        result.add_row(*(escape(str(cell)) for cell in row))
    return result
