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

from nearfar.distributed import sizes_of
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
    for statistic in statistics:
        weight = statistic.log_weight
        if statistic.pairs.lists or not (weight is None or isinstance(weight, Tensor)):
            raise ValueError("weights by a rule, and lists of pairs, do not go round a ring")
    outputs: tuple[Tensor, ...] = _Ring.apply(  # type: ignore[no-untyped-call]
        scores.queries, scores.keys, scores.scale, scores.bias, tuple(statistics), group, compute
    )  # fmt: skip
    return outputs


class _Block:
    """The keys that are here now, with all that belongs to them; padded to the longest block."""

    def __init__(
        self, y: Tensor, bias: Tensor | None, statistics: Sequence[Statistic],
        group: dist.ProcessGroup,
    ) -> None:  # fmt: skip
        self.group = group
        self.rank, self.world = dist.get_rank(group), dist.get_world_size(group)
        self.sizes = sizes_of(len(y), y.device, group)
        self.owner = self.rank
        parts = [y] if bias is None else [y, bias]
        for statistic in statistics:
            parts += [match.cols for match in statistic.pairs.matches]
            if isinstance(statistic.log_weight, Tensor):
                parts.append(statistic.log_weight)
        self.tensors = [self._padded(part) for part in parts]
        self.has_bias, self.statistics = bias is not None, statistics

    def _padded(self, part: Tensor) -> Tensor:
        whole = part.new_zeros(max(self.sizes), *part.shape[1:])
        whole[: len(part)] = part.detach()
        return whole

    def open(self) -> tuple[Tensor, Tensor | None, list[Statistic]]:
        """This block's keys, bias, and statistics."""
        cut = iter([t[: self.sizes[self.owner]] for t in self.tensors])
        y = next(cut)
        bias = next(cut) if self.has_bias else None
        here = []
        for statistic in self.statistics:
            matches = tuple(Match(m.rows, next(cut), m.equal) for m in statistic.pairs.matches)
            weight = next(cut) if statistic.log_weight is not None else None
            here.append(replace(statistic, pairs=Pairs(matches), log_weight=weight))
        return y, bias, here

    def pass_on(self) -> None:
        """To the next process, and in from the one before."""
        if self.world > 1:
            after = dist.get_global_rank(self.group, (self.rank + 1) % self.world)
            before = dist.get_global_rank(self.group, (self.rank - 1) % self.world)
            incoming = [torch.empty_like(t) for t in self.tensors]
            calls = []
            for tag, (out, into) in enumerate(zip(self.tensors, incoming, strict=True)):
                calls.append(dist.P2POp(dist.isend, out, after, self.group, tag))
                calls.append(dist.P2POp(dist.irecv, into, before, self.group, tag))
            for request in dist.batch_isend_irecv(calls):
                request.wait()
            self.tensors = incoming
        self.owner = (self.owner - 1) % self.world


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
        block = _Block(y, bias, statistics, group)
        empty = x.new_full((len(x),), -torch.inf)
        lses = [empty.clone() for _ in statistics]  # of those that have one
        values = [empty.clone() if s.kind == "lse" else x.new_zeros(len(x)) for s in statistics]
        for step in range(block.world):
            keys, shift, here = block.open()
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
            if step < block.world - 1:
                block.pass_on()
        ctx.save_for_backward(x, y, scale, bias, *values, *lses)
        ctx.statistics, ctx.group = statistics, group
        return tuple(value.clone() for value in values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, bias, *rest = ctx.saved_tensors
        count = len(ctx.statistics)
        values, lses = rest[:count], rest[count:]
        block = _Block(y, bias, ctx.statistics, ctx.group)
        # The gradients travel with their block, as two more of its tensors.
        home = [torch.zeros_like(block.tensors[0]), x.new_zeros(len(block.tensors[0]))]
        block.tensors += home
        dx = torch.zeros_like(x)
        dscale = torch.zeros_like(scale)
        for _ in range(block.world):
            keys, shift, here = block.open()
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
                block.tensors[-2][: len(keys)] += gy
                if gb is not None:
                    block.tensors[-1][: len(keys)] += gb
            block.pass_on()
        dy, dbias = (t[: len(y)] for t in block.tensors[-2:])
        return dx, dy, dscale, None if bias is None else dbias, None, None, None
