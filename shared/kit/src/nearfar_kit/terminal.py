"""Tables that a console of any width shows legibly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table as RichTable

from nearfar_kit.printable import printable

__all__ = ["Terminal"]

LONG = 40  # of a cell: a longer one is broken into lines


class Shown(Protocol):
    """What a :class:`nearfar_kit.table.Table` is here."""

    @property
    def caption(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> Sequence[Sequence[object]]: ...
    def best(self) -> set[tuple[int, int]]: ...


@dataclass(frozen=True)
class Terminal:
    """A table as wide as the console.

    One that is too wide is turned, where it has fewer rows than columns and fits then, or else goes
    on below, some columns at a time.
    """

    table: Shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        body = [[printable(str(cell)) for cell in row] for row in self.table.rows]
        whole = _Grid([printable(name) for name in self.table.columns], body, self.table.best())
        parts = [whole]
        if whole.width > options.max_width:
            turned = whole.turned()
            fits = len(body) < len(whole.columns) and turned.width <= options.max_width
            parts = [turned] if fits else whole.parted(options.max_width)
        for number, part in enumerate(parts):
            yield part.drawn(self.table.caption if number == 0 else None)


@dataclass(frozen=True)
class _Grid:
    """Names of columns, rows of text, and which cells are bold."""

    columns: list[str]
    rows: list[list[str]]
    bold: set[tuple[int, int]]

    def widths(self) -> list[int]:
        lines = [self.columns, *self.rows]
        return [
            min(max(cell_len(line[n]) for line in lines), LONG) + 3
            for n in range(len(self.columns))
        ]

    @property
    def width(self) -> int:
        return sum(self.widths()) + 1

    def turned(self) -> _Grid:
        names = [row[0] for row in self.rows]
        rows = [
            [name, *(row[n] for row in self.rows)] for n, name in enumerate(self.columns) if n > 0
        ]
        bold = {(column - 1, row + 1) for row, column in self.bold}
        return _Grid([self.columns[0], *names], rows, bold)

    def parted(self, width: int) -> list[_Grid]:
        """The first column with as many of the others as fit, again and again."""
        first, *others = self.widths()
        parts: list[list[int]] = [[]]
        left = width - first - 1
        for number, own in enumerate(others, start=1):
            if own > left and parts[-1]:
                parts.append([])
                left = width - first - 1
            parts[-1].append(number)
            left -= own
        return [self._of([0, *part]) for part in parts]

    def _of(self, columns: list[int]) -> _Grid:
        place = {column: n for n, column in enumerate(columns)}
        bold = {(row, place[column]) for row, column in self.bold if column in place}
        return _Grid(
            [self.columns[n] for n in columns], [[row[n] for n in columns] for row in self.rows],
            bold,
        )  # fmt: skip

    def drawn(self, title: str | None) -> RichTable:
        table = RichTable(title=escape(title) if title else None, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(escape(column), justify="left" if number == 0 else "right")
        for number, row in enumerate(self.rows):
            table.add_row(
                *(
                    f"[bold]{escape(cell)}[/bold]" if (number, n) in self.bold else escape(cell)
                    for n, cell in enumerate(row)
                )
            )
        return table
