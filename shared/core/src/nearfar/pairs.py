"""Pair rules: which pairs (row i, column j) a statistic counts.

A rule is a conjunction of matches between one integer code per row and one per column, so that a
tile of the N x M mask can be made wherever a tile of scores is, and the mask itself never exists.
The set of conditions is closed on purpose: a GPU kernel can test them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Match", "Pairs", "everything", "other", "same"]


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

    def tile(self, rows: slice, cols: slice) -> Tensor | bool:
        """The mask of one tile: a boolean [rows, cols] tensor, or one bool where it is uniform."""
        mask: Tensor | bool = True
        for match in self.matches:
            row, col = match.rows[rows], match.cols[cols]
            # Codes are mostly sorted (row numbers, sorted labels), so whole tiles share one answer.
            # Asking costs a wait for the device on a GPU, where the mask is cheap anyway.
            if row.device.type == "cpu" and _apart(row, col):
                if match.equal:
                    return False
                continue
            met = (row[:, None] == col) if match.equal else (row[:, None] != col)  # n x m
            mask = met if mask is True else mask & met
        return mask


def _apart(row: Tensor, col: Tensor) -> bool:
    return bool((row.min() > col.max()) | (row.max() < col.min()))


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
