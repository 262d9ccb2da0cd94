"""Pair rules: which pairs (row i, column j) a statistic counts.

A rule is a conjunction of matches between one integer code per row and one per column, so that a
tile of the N x M mask can be made wherever a tile of scores is, and the mask itself never exists.
The set of conditions is closed on purpose: a GPU kernel can test them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Match", "Pairs", "Tiles", "everything", "other", "same"]


@dataclass(frozen=True)
class Match:
    """One condition: ``rows[i] == cols[j]`` where ``equal``, else ``rows[i] != cols[j]``."""

    rows: Tensor  # [N] integer codes
    cols: Tensor  # [M]
    equal: bool


@dataclass(frozen=True)
class Pairs:
    """All the pairs that meet every match; ``a & b`` meets both."""

    matches: tuple[Match, ...] = ()

    def __and__(self, rule: Pairs) -> Pairs:
        return Pairs(self.matches + rule.matches)

    def of_rows(self, rows: slice) -> Pairs:
        """The pairs of some rows alone."""
        return Pairs(tuple(Match(m.rows[rows], m.cols, m.equal) for m in self.matches))

    def turned(self) -> Pairs:
        """The same pairs with rows and columns exchanged."""
        return Pairs(tuple(Match(m.cols, m.rows, m.equal) for m in self.matches))

    def tiles(self, row_side: int, col_side: int | None = None) -> Tiles:
        """The masks of tiles of so many rows and columns (as many as rows if not said)."""
        return Tiles(self.matches, row_side, col_side or row_side)

    def mask(self) -> Tensor | bool:
        """The pairs left out, dense: for definitions and small problems."""
        return self.tiles(2**62).left_out(slice(0, None), slice(0, None))


class Tiles:
    """The mask of pairs that a rule leaves out, tile by tile."""

    def __init__(self, matches: tuple[Match, ...], row_side: int, col_side: int) -> None:
        self.matches = matches
        self.sides = row_side, col_side
        # Codes are mostly sorted (row numbers, sorted labels), so that whole tiles share an answer.
        # Asking costs a wait for the device on a GPU, where the mask is cheap anyway.
        self.ranges = [
            (_ranges(match.rows, row_side), _ranges(match.cols, col_side))
            if match.rows.device.type == "cpu"
            else None
            for match in matches
        ]

    def left_out(self, rows: slice, cols: slice) -> Tensor | bool:
        """Of one tile: a boolean [rows, cols] tensor, or one bool where it is uniform."""
        i, j = rows.start // self.sides[0], cols.start // self.sides[1]
        mask: Tensor | bool = False
        for match, ranges in zip(self.matches, self.ranges, strict=True):
            if ranges is not None:
                (row_low, row_high), (col_low, col_high) = ranges[0][i], ranges[1][j]
                if row_low > col_high or row_high < col_low:  # no code is on both sides
                    if match.equal:
                        return True
                    continue
            row, col = match.rows[rows, None], match.cols[cols]
            out = row != col if match.equal else row == col  # n x m
            mask = out if mask is False else mask | out
        return mask


def _ranges(codes: Tensor, side: int) -> list[tuple[int, int]]:
    """The least and the greatest code of each block."""
    if len(codes) == 0:
        return [(0, 0)]
    blocks = torch.split(codes, side)
    low, high = (
        torch.stack([bound(b) for b in blocks]).tolist() for bound in (torch.amin, torch.amax)
    )
    return list(zip(low, high, strict=True))


def everything() -> Pairs:
    """Every pair."""
    return Pairs()


def same(rows: Tensor, cols: Tensor) -> Pairs:
    """The pairs of equal code: rows [N], cols [M], integers."""
    return Pairs((_match("same", rows, cols, equal=True),))


def other(rows: Tensor, cols: Tensor) -> Pairs:
    """The pairs of different code: rows [N], cols [M], integers."""
    return Pairs((_match("other", rows, cols, equal=False),))


def _match(name: str, rows: Tensor, cols: Tensor, *, equal: bool) -> Match:
    for side, codes in (("rows", rows), ("cols", cols)):
        if codes.ndim != 1 or codes.is_floating_point() or codes.is_complex():
            raise ValueError(
                f"{name}: {side} is {codes.dtype} of shape {tuple(codes.shape)}; "
                "expected one integer code a row, shape [N]"
            )
    return Match(rows.to(torch.int64), cols.to(torch.int64), equal)
