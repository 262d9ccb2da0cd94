"""Losses over the batches of all processes: ``group=`` on any loss.

Every process gathers all rows, and so holds the whole batch; the N M part of the work, the core
operation, is shared out by rows of scores, and all that is linear in N is done by everyone. The
loss is then the global one on every process, and after DDP's mean over processes every gradient
(of the encoder, a temperature, a bias) is that of one process with the whole batch:

- gradients to gathered rows come out alike everywhere; each process keeps its own rows', times the
  number of processes, which DDP's mean divides out;
- gradients to what all processes hold alike (a temperature) are whole on each, and their mean is
  the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ParamSpec

import torch
import torch.distributed as dist
from torch import Tensor

from nearfar.batch import Ring, within
from nearfar.collectives import all_gather, own_of, sizes_of, summed
from nearfar.graphs import outside_graphs
from nearfar.precision import products_of
from nearfar.statistic import Scores, Statistic
from nearfar.targets import Factored, Listed, Teacher

__all__ = ["global_batch", "row_statistics"]

P = ParamSpec("P")


def global_batch(
    *rows: str, dim: int = 0, numbers: tuple[str, ...] = ()
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Makes a loss with a ``group`` keyword global over its processes.

    Args:
        rows: the arguments that hold one row a sample of this process's batch. A ``temperature`` is
            one where it has a number a row. All other tensors must be alike on every process.
        numbers: the arguments [any, k] whose numbers count this process's rows; below 0 means none.
        dim: of the samples in those that have more than two dimensions.
    """

    def decorate(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
        signature = inspect.signature(loss)

        @functools.wraps(loss)
        def over_group(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            with products_of((*args, *kwargs.values())):
                return compute(*args, **kwargs)

        def compute(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            group = kwargs.get("group")
            if group is None:
                return loss(*args, **kwargs)
            if isinstance(group, Ring):
                return within_ring(group, *args, **kwargs)
            assert isinstance(group, dist.ProcessGroup)
            bound = signature.bind(*args, **kwargs)
            given: dict[str, Any] = bound.arguments
            first = next(_tensors(given[rows[0]]))
            samples = first.shape[dim if first.ndim > 2 else 0]
            sizes = sizes_of(samples, first.device, group)
            for name in rows:
                if given.get(name) is not None:
                    given[name] = _all_rows(given[name], dim, sizes, group)
            for name in numbers:
                if (index := given.get(name)) is not None:
                    index = torch.where(index < 0, index, index + own_of(sizes, group).start)
                    given[name] = _gathered(index, sizes_of(len(index), index.device, group), group)
            value = given.get("temperature")
            if isinstance(value, Tensor) and value.ndim == 1:
                # One number a row of each view, view by view.
                by_row = value.view(-1, samples).T
                given["temperature"] = _gathered(by_row, sizes, group).T.reshape(-1)
            with within(group):
                value = loss(*bound.args, **bound.kwargs)
            if value.ndim == 0:
                return value
            return _OwnRows.apply(value, sizes, group)  # type: ignore[no-untyped-call, no-any-return]

        def within_ring(group: Ring, /, *args: P.args, **kwargs: P.kwargs) -> Tensor:
            first = next(_tensors(signature.bind(*args, **kwargs).arguments[rows[0]]))
            samples = first.shape[dim if first.ndim > 2 else 0]
            sizes = sizes_of(samples, first.device, group.group)
            with within(group, own_of(sizes, group.group).start):
                return loss(*args, **kwargs)

        return outside_graphs(over_group)

    return decorate


def row_statistics(
    scores: Scores,
    statistics: Sequence[Statistic],
    group: dist.ProcessGroup,
    compute: Callable[[Scores, Sequence[Statistic]], tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:
    """The core operation on scores that all processes hold, each computing a share of the rows."""
    rank, world = dist.get_rank(group), dist.get_world_size(group)
    n = len(scores.queries)
    edges = [n * r // world for r in range(world + 1)]
    rows = slice(edges[rank], edges[rank + 1])

    def shared(t: Tensor) -> Tensor:
        return _Shared.apply(t, group)  # type: ignore[no-untyped-call, no-any-return]

    x, y, scale = shared(scores.queries), shared(scores.keys), shared(scores.scale)
    bias = None if scores.bias is None else shared(scores.bias)
    own = Scores(x[rows], y, scale[rows] if scale.ndim else scale, bias, scores.bounded)
    if len(own.queries):
        values = compute(own, [statistic.of_rows(rows) for statistic in statistics])
    else:  # more processes than rows; the empty sum keeps this one in the graph
        values = tuple(x[rows].sum(1) for _ in statistics)
    sizes = [edges[r + 1] - edges[r] for r in range(world)]
    return tuple(
        _Joined.apply(value, sizes, group)  # type: ignore[no-untyped-call]
        for value in values
    )


def _gathered(x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
    if x.is_floating_point():
        return _Gather.apply(x, sizes, group)  # type: ignore[no-untyped-call, no-any-return]
    if x.dtype is torch.bool:
        return all_gather(x.to(torch.uint8), sizes, group).bool()
    return all_gather(x, sizes, group)


def _tensors(value: Any) -> Iterator[Tensor]:
    yield from [value] if isinstance(value, Tensor) else value


def _all_rows(value: Any, dim: int, sizes: list[int], group: dist.ProcessGroup) -> Any:
    """A tensor, or each of a list of tensors, or targets, of all processes' samples."""
    if isinstance(value, list | tuple):
        return [_all_rows(part, dim, sizes, group) for part in value]
    if isinstance(value, Tensor):
        dim = dim if value.ndim > 2 else 0
        return _gathered(value.movedim(dim, 0).contiguous(), sizes, group).movedim(0, dim)
    if isinstance(value, Listed):  # numbers of this process's keys: counted from its first
        index = value.index + own_of(sizes, group).start
        return Listed(_gathered(index, sizes, group), _gathered(value.weight, sizes, group))
    if isinstance(value, Factored | Teacher):
        rows, cols = (_gathered(part, sizes, group) for part in (value.rows, value.cols))
        return replace(value, rows=rows, cols=cols)
    return value


class _Gather(torch.autograd.Function):
    """This process's rows -> all rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own, ctx.world = own_of(sizes, group), len(sizes)
        return all_gather(x, sizes, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return upstream[ctx.own] * ctx.world, None, None


class _Shared(torch.autograd.Function):
    """What all hold alike, into a part of the work that is shared out: gradients add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return summed(upstream, ctx.group), None


class _Joined(torch.autograd.Function):
    """Shares of rows -> all rows, of which all processes make the same use."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own = own_of(sizes, group)
        return all_gather(x, sizes, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return upstream[ctx.own].contiguous(), None, None


class _OwnRows(torch.autograd.Function):
    """All samples' losses, view by view -> this process's, for ``reduction="none"``."""

    @staticmethod
    def forward(ctx: Any, losses: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own, ctx.group, ctx.shape = own_of(sizes, group), group, losses.shape
        ctx.samples = sum(sizes)
        if len(losses) % ctx.samples:
            raise ValueError(
                f"reduction='none' gives {len(losses)} losses of {ctx.samples} samples, which have "
                "no place among the processes; expected 'mean' or 'sum' with a group"
            )
        return losses.view(-1, ctx.samples)[:, ctx.own].reshape(-1)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        # Each process weighs its own rows; together they are the weights of all.
        whole = upstream.new_zeros(ctx.shape)
        views = whole.view(-1, ctx.samples)
        views[:, ctx.own] = upstream.view(len(views), -1)
        dist.all_reduce(whole, group=ctx.group)
        return whole / dist.get_world_size(ctx.group), None, None
