"""The core operation where nobody holds all keys: they go round the processes, block by block.

Each process keeps its own queries and meets every block of keys once. In the backward pass a block
travels with its gradient, to which each process adds its part, and comes home with the whole. A
process so needs memory for its own rows and one block more, whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from nearfar.collectives import Round
from nearfar.pairs import Match, Pairs
from nearfar.statistic import Scores, Statistic
from nearfar.streaming import gradients_of, side_of

__all__ = ["row_statistics"]

Compute = Callable[[Scores, Sequence[Statistic]], tuple[Tensor, ...]]


def row_statistics(
    scores: Scores, statistics: Sequence[Statistic], group: dist.ProcessGroup, compute: Compute
) -> tuple[Tensor, ...]:
    """One tensor [own rows] a statistic, over the keys of all processes.

    Args:
        scores, statistics: of this process's queries and keys; their codes count the whole batch's.
        compute: the operation on one block.
    """
    outputs: tuple[Tensor, ...] = _Ring.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, scores.bias, tuple(statistics), group, compute
    )  # fmt: skip
    return outputs


def _parts(y: Tensor, bias: Tensor | None, statistics: Sequence[Statistic]) -> list[Tensor]:
    """All that belongs to the keys."""
    parts = [y] if bias is None else [y, bias]
    for statistic in statistics:
        parts += [match.cols for match in statistic.pairs.matches]
        weight = statistic.log_weight
        if weight is not None:
            parts.append(weight if isinstance(weight, Tensor) else weight.of_keys)
    return parts


def _opened(
    round: Round, has_bias: bool, statistics: Sequence[Statistic]
) -> tuple[Tensor, Tensor | None, list[Statistic]]:
    """The keys that are here, their bias, and the statistics over them."""
    part = iter(round.here())
    y = next(part)
    bias = next(part) if has_bias else None
    here = []
    for statistic in statistics:
        matches = tuple(Match(m.rows, next(part), m.equal) for m in statistic.pairs.matches)
        # Lists name keys of one's own process.
        pairs = Pairs(matches, statistic.pairs.lists if round.at_home else ())
        weight = statistic.log_weight
        if isinstance(weight, Tensor):
            weight = next(part)
        elif weight is not None:
            weight = weight.with_keys(next(part))
        here.append(replace(statistic, pairs=pairs, log_weight=weight))
    return y, bias, here


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        statistics: tuple[Statistic, ...],
        group: dist.ProcessGroup,
        compute: Compute,
    ) -> tuple[Tensor, ...]:
        block = Round(_parts(y, bias, statistics), group)
        empty = x.new_full((len(x),), -torch.inf)
        lses = [empty.clone() for _ in statistics]  # of those that have one
        values = [empty.clone() if s.kind == "lse" else x.new_zeros(len(x)) for s in statistics]
        for _ in block:
            keys, shift, here = _opened(block, bias is not None, statistics)
            if len(keys) and len(x):
                # What bounds the scores of this process's keys says nothing of another's.
                own = Scores(x.detach(), keys, scale.detach(), shift)
                for n, statistic in enumerate(here):
                    (value,) = compute(own, [statistic])
                    if statistic.kind == "lse":
                        lses[n] = values[n] = torch.logaddexp(values[n], value)
                    elif statistic.kind == "mean":
                        (lse,) = compute(own, [replace(statistic, kind="lse")])
                        whole = torch.logaddexp(lses[n], lse)
                        some = whole > -torch.inf
                        values[n] = torch.where(some, (lses[n] - whole).exp(), 0) * values[n] + (
                            torch.where(some, (lse - whole).exp(), 0) * value
                        )
                        lses[n] = whole
                    else:
                        values[n] = values[n] + value
        ctx.save_for_backward(x, y, scale, bias, *values, *lses)
        ctx.statistics, ctx.group = statistics, group
        return tuple(value.clone() for value in values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, bias, *rest = ctx.saved_tensors
        count = len(ctx.statistics)
        values, lses = rest[:count], rest[count:]
        # The gradients travel with their keys.
        home = [torch.zeros_like(y), torch.zeros_like(y[:, 0])]
        block = Round([*_parts(y, bias, ctx.statistics), *home], ctx.group, home=True)
        dx = torch.zeros_like(x)
        dscale = torch.zeros_like(scale)
        for _ in block:
            keys, shift, here = _opened(block, bias is not None, ctx.statistics)
            if len(keys) and len(x):
                with torch.autocast(x.device.type, enabled=False):
                    gx, gy, gs, gb = gradients_of(
                        x, keys, scale, shift, here, values, lses, upstream,
                        needs=(True, True, True, bias is not None),
                        side=side_of(x),
                    )  # fmt: skip
                assert gx is not None
                assert gy is not None
                assert gs is not None
                dx += gx
                dscale += gs
                own_dy, own_dbias = block.here()[-2:]
                own_dy += gy
                if gb is not None:
                    own_dbias += gb
        dy, dbias = block.here()[-2:]
        return dx, dy, dscale, None if bias is None else dbias, None, None, None
