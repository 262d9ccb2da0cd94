"""Tables of mean and spread, for a Markdown file and for the terminal, from the same rows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from nearfar_kit.terminal import Terminal

__all__ = ["Cell", "Table", "gain", "spread_over", "summarise"]

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Cell:
    """Mean and standard deviation of ``n`` values (deviation 0 for one).

    Attributes:
        digits: after the point.
        signed: a difference, shown with its sign.
    """

    mean: float
    spread: float
    n: int
    digits: int = 3
    signed: bool = False

    def __str__(self) -> str:
        if self.n == 0:
            return "-"
        mean = f"{self.mean:{'+' if self.signed else ''}.{self.digits}f}"
        return f"{mean} ± {self.spread:.{self.digits}f}" if self.n > 1 else mean


def gain(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Cell:
    """Mean and spread of ours less theirs over what both have: seeds, or splits and seeds.

    What the draw of a seed does to both of them alike is not in the spread.
    """
    cell = summarise(ours[key] - theirs[key] for key in ours.keys() & theirs.keys())
    return replace(cell, signed=True)


def summarise(values: Iterable[float]) -> Cell:
    """Mean and sample standard deviation of the finite values."""
    finite = [v for v in values if math.isfinite(v)]
    n = len(finite)
    if n == 0:
        return Cell(math.nan, math.nan, 0)
    mean = sum(finite) / n
    spread = math.sqrt(sum((v - mean) ** 2 for v in finite) / (n - 1)) if n > 1 else 0.0
    return Cell(mean, spread, n)


def spread_over(n: int, draw: str = "seed") -> str:
    """What a caption says of cells that are each of ``n`` draws.

    Example:
        >>> spread_over(3), spread_over(1, "split")
        ('mean ± standard deviation over 3 seeds', 'one split')
    """
    return f"mean ± standard deviation over {n} {draw}s" if n != 1 else f"one {draw}"


@dataclass(frozen=True)
class Table:
    """A caption, column names and rows of cells or text; the best of each column is marked.

    Attributes:
        least: columns in which the smallest is best, such as errors.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    least: Sequence[str] = ()

    def best(self) -> set[tuple[int, int]]:
        """(row, column) of the best mean in each column of cells."""
        found = set()
        for column in range(len(self.columns)):
            means = {
                number: cell.mean
                for number, row in enumerate(self.rows)
                if isinstance(cell := row[column], Cell) and cell.n
            }
            if len(means) > 1:
                choose = min if self.columns[column] in self.least else max
                found.add((choose(means, key=means.__getitem__), column))
        return found

    def markdown(self) -> str:
        best = self.best()
        lines = [
            "| " + " | ".join(self.columns) + " |",
            "| " + " | ".join("---" for _ in self.columns) + " |",
        ]
        for number, row in enumerate(self.rows):
            cells = [
                f"**{cell}**" if (number, column) in best else str(cell).replace("|", "\\|")
                for column, cell in enumerate(row)
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return f"{self.caption}\n\n" + "\n".join(lines) + "\n"

    def terminal(self) -> Terminal:
        """For a console, whose width it takes into account."""
        return Terminal(self)
