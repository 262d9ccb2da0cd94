"""Pair rules: which pairs (row i, column j) a statistic counts.

A rule is a conjunction of matches between one integer code per row and one per column, and of short
lists of columns that a row leaves out, so that a tile of the N x M mask can be made wherever a tile
of scores is, and the mask itself never exists. The set of conditions is closed on purpose: a GPU
kernel can test all the matches; lists go by the streaming path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from nearfar.masks import Diagonal, Mask, either

__all__ = ["Match", "Pairs", "Tiles", "everything", "other", "same", "unlisted"]


@dataclass(frozen=True)
class Match:
    """One condition: ``rows[i] == cols[j]`` where ``equal``, else ``rows[i] != cols[j]``."""

    rows: Tensor  # [N] integer codes
    cols: Tensor  # [M]
    equal: bool


@dataclass(frozen=True)
class Listing:
    """Pairs left out one by one: row i with each of the columns ``index[i]``."""

    index: Tensor  # [N, k]; a number that is no column's, such as -1, stands for none
    columns: int
    turned: bool = False  # rows and columns have changed places since

    def of_rows(self, rows: slice) -> Listing:
        if not self.turned:
            return replace(self, index=self.index[rows])
        start, stop, _ = rows.indices(self.columns)
        return replace(self, index=self.index - start, columns=stop - start)

    def left_out(self, rows: slice, cols: slice) -> Tensor | bool:
        own, other = (cols, rows) if self.turned else (rows, cols)
        start, stop, _ = other.indices(self.columns)
        index = self.index[own]
        row, k = ((index >= start) & (index < stop)).nonzero(as_tuple=True)
        if len(row) == 0:
            return False
        mask = torch.zeros(len(index), stop - start, dtype=torch.bool, device=index.device)
        mask[row, index[row, k] - start] = True
        return mask.T if self.turned else mask


@dataclass(frozen=True)
class Pairs:
    """All the pairs that meet every match and that no list names; ``a & b`` meets both."""

    matches: tuple[Match, ...] = ()
    lists: tuple[Listing, ...] = ()

    def __and__(self, rule: Pairs) -> Pairs:
        return Pairs(self.matches + rule.matches, self.lists + rule.lists)

    def of_rows(self, rows: slice) -> Pairs:
        """The pairs of some rows alone."""
        return Pairs(
            tuple(Match(m.rows[rows], m.cols, m.equal) for m in self.matches),
            tuple(listing.of_rows(rows) for listing in self.lists),
        )

    @property
    def symmetric(self) -> bool:
        """Whether (j, i) is admitted with (i, j), as one tensor on both sides shows."""
        return not self.lists and all(match.rows is match.cols for match in self.matches)

    def turned(self) -> Pairs:
        """The same pairs with rows and columns exchanged."""
        return Pairs(
            tuple(Match(m.cols, m.rows, m.equal) for m in self.matches),
            tuple(replace(listing, turned=not listing.turned) for listing in self.lists),
        )

    def tiles(self, row_side: int, col_side: int | None = None) -> Tiles:
        """The masks of tiles of so many rows and columns (as many as rows if not said)."""
        return Tiles(self, row_side, col_side or row_side)

    def mask(self) -> Tensor | bool:
        """The pairs left out, dense: for definitions and small problems."""
        mask = self.tiles(2**62).left_out(slice(0, None), slice(0, None))
        return mask.dense() if isinstance(mask, Diagonal) else mask


class Tiles:
    """The mask of pairs that a rule leaves out, tile by tile."""

    def __init__(self, pairs: Pairs, row_side: int, col_side: int) -> None:
        self.matches, self.lists = pairs.matches, pairs.lists
        self.sides = row_side, col_side
        # Codes are mostly sorted (row numbers, sorted labels), so that whole tiles share an answer.
        # Asking costs a wait for the device on a GPU, where the mask is cheap anyway.
        self.blocks: list[tuple[list[Block], list[Block]] | None] = []
        for match in pairs.matches:
            if match.rows.device.type != "cpu":
                self.blocks.append(None)
                continue
            rows = _blocks(match.rows, row_side)
            alike = match.rows is match.cols and row_side == col_side
            self.blocks.append((rows, rows if alike else _blocks(match.cols, col_side)))

    def left_out(self, rows: slice, cols: slice) -> Mask:
        """Of one tile."""
        i, j = rows.start // self.sides[0], cols.start // self.sides[1]
        mask: Mask = False
        for match, blocks in zip(self.matches, self.blocks, strict=True):
            if blocks is not None:
                row, col = blocks[0][i], blocks[1][j]
                if row.low > col.high or row.high < col.low:  # no code is on both sides
                    if match.equal:
                        return True
                    continue
                if row.counts and col.counts and not match.equal:
                    shape, device = (row.size, col.size), match.rows.device
                    mask = either(mask, Diagonal(row.low - col.low, shape, device))
                    continue
            of_row, of_col = match.rows[rows, None], match.cols[cols]
            mask = either(mask, of_row != of_col if match.equal else of_row == of_col)  # n x m
        for listing in self.lists:
            mask = either(mask, listing.left_out(rows, cols))
        return mask


class Block(NamedTuple):
    """What is known of the codes of a block of rows."""

    size: int
    low: int
    high: int
    counts: bool  # each code is the one before and 1: the numbers of rows


def _blocks(codes: Tensor, side: int) -> list[Block]:
    size = len(codes)
    if size == 0:
        return [Block(0, 0, 0, False)]
    side = min(side, size)
    last = codes[-1:].expand(-size % side)  # the last code again adds neither range nor step
    padded = torch.cat([codes, last]).view(-1, side)
    steps = (padded.diff(dim=1) == 1).sum(1).tolist()
    low, high = padded.amin(1).tolist(), padded.amax(1).tolist()
    sizes = [min(side, size - start) for start in range(0, size, side)]
    return [
        Block(n, a, b, step == n - 1) for n, a, b, step in zip(sizes, low, high, steps, strict=True)
    ]


def everything() -> Pairs:
    """Every pair."""
    return Pairs()


def same(rows: Tensor, cols: Tensor) -> Pairs:
    """The pairs of equal code: rows [N], cols [M], integers."""
    return Pairs((_match("same", rows, cols, equal=True),))


def other(rows: Tensor, cols: Tensor) -> Pairs:
    """The pairs of different code: rows [N], cols [M], integers."""
    return Pairs((_match("other", rows, cols, equal=False),))


def unlisted(index: Tensor, columns: int) -> Pairs:
    """The pairs that are not (i, index[i, k]): index [N, k] integers, of ``columns`` columns.

    Numbers that are no column's, such as -1, name none.
    """
    if index.ndim != 2 or index.is_floating_point() or index.is_complex():
        raise ValueError(
            f"unlisted: index is {index.dtype} of shape {tuple(index.shape)}; expected integers "
            "[N, k]"
        )
    return Pairs(lists=(Listing(index.to(torch.int64), columns),))


def _match(name: str, rows: Tensor, cols: Tensor, *, equal: bool) -> Match:
    for side, codes in (("rows", rows), ("cols", cols)):
        if codes.ndim != 1 or codes.is_floating_point() or codes.is_complex():
            raise ValueError(
                f"{name}: {side} is {codes.dtype} of shape {tuple(codes.shape)}; "
                "expected one integer code a row, shape [N]"
            )
    return Match(rows.to(torch.int64), cols.to(torch.int64), equal)
