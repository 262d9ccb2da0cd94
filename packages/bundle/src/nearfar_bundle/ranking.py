"""The best items of a catalogue that is scored a part at a time, equal scores in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from nearfar_bundle.catalogue import Floats, Ints

__all__ = ["PART", "best_items", "parts"]

PART = 65536  # items scored at a time
NOTHING = torch.iinfo(torch.int64).min
# Of equal scores the item whose number comes first after this multiplication, so that neither the
# order of the catalogue, which tells something in real data, nor the part shows in a list.
MIXED = 0x9E3779B1

Scores = Callable[[slice], Floats | Tensor]


def parts(items: int, part: int = PART) -> Iterator[slice]:
    for start in range(0, items, part):
        yield slice(start, min(start + part, items))


def best_items(
    scores: Scores, items: int, k: int, *, left_out: csr_matrix, part: int = PART
) -> tuple[Ints, NDArray[np.float32]]:
    """The k best of I items for each of Q queries, and their scores, the best first.

    Args:
        scores: a slice of item numbers -> [Q, n]; -inf for what must not come.
        left_out: [Q, I], items that must not come, such as those of the query.

    Returns:
        [Q, k], -1 where fewer are left; [Q, k], -inf there.
    """
    columns = left_out.tocsc()
    top = torch.full((left_out.shape[0], 0), NOTHING)
    for own in parts(items, part):
        found = torch.as_tensor(scores(own)).float() + 0.0  # + 0.0: minus zero is zero
        keys = _keys(found, torch.arange(own.start, own.stop))
        keys[found == -torch.inf] = NOTHING
        dropped = columns[:, own].tocoo()
        keys[torch.from_numpy(dropped.row).long(), torch.from_numpy(dropped.col).long()] = NOTHING
        best = keys.topk(min(k, keys.shape[1]), dim=1).values
        top = torch.cat([top, best], 1).topk(min(k, top.shape[1] + best.shape[1]), dim=1).values
    top = torch.nn.functional.pad(top, (0, k - top.shape[1]), value=NOTHING)
    nothing = top == NOTHING
    number = ((top & 0xFFFFFFFF) * _INVERSE & 0xFFFFFFFF).masked_fill(nothing, -1)
    order = top >> 32
    bits = torch.where(order < 0, order ^ 0x7FFFFFFF, order)
    value = bits.to(torch.int32).view(torch.float32).masked_fill(nothing, -torch.inf)
    return number.numpy(), value.numpy()


_INVERSE = pow(MIXED, -1, 2**32)


def _keys(scores: Tensor, items: Tensor) -> Tensor:
    """Integers in the order of the scores [Q, n], all different."""
    bits = scores.view(torch.int32).long()
    order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (order << 32) + (items * MIXED & 0xFFFFFFFF)
