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
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nearfar.graphs import outside_graphs
from nearfar.precision import products_of
from nearfar.statistic import Scores, Statistic
from nearfar.targets import Factored, Listed, Teacher

__all__ = [
    "Group",
    "Ring",
    "all_of_ring",
    "count_of",
    "current",
    "global_batch",
    "row_numbers",
    "row_statistics",
    "sizes_of",
    "total_of",
    "within",
]


@dataclass(frozen=True)
class Ring:
    """A group whose processes never hold each other's rows all at once: keys go round instead.

    ``loss(a, b, group=nearfar.Ring(group))``. Memory is that of a process's own rows and of one
    other's; time is that of the general path, where ``group=group`` shares out the faster ones.
    """

    group: dist.ProcessGroup


Group = dist.ProcessGroup | Ring | None
P = ParamSpec("P")
R = TypeVar("R")

_current: ContextVar[Group] = ContextVar("group", default=None)
_start: ContextVar[int] = ContextVar("start", default=0)


def current() -> Group:
    """The group or ring over which the loss that is being computed goes, or None."""
    return _current.get()


def row_numbers(rows: Tensor) -> Tensor:
    """The number of each row in the whole batch: [N], from 0 where this process holds it all."""
    return torch.arange(len(rows), device=rows.device) + _start.get()


def total_of(part: Tensor) -> Tensor:
    """The sum over a ring's processes of what each has; itself where there is no ring.

    The gradient to each part is the sum of all processes' upstreams. Of a loss, which all have
    alike, that is the number of processes, and DDP's mean divides it out.
    """
    ring = current()
    if not isinstance(ring, Ring):
        return part
    return _Total.apply(part, ring.group)  # type: ignore[no-untyped-call, no-any-return]


def all_of_ring(codes: Tensor) -> Tensor:
    """All processes' integers [any], one process's after the other's; these where there is none."""
    ring = current()
    if not isinstance(ring, Ring):
        return codes
    return _all_gather(codes, sizes_of(len(codes), codes.device, ring.group), ring.group)


def count_of(rows: Tensor) -> Tensor:
    """How many of all processes' rows [N] are true: []."""
    return total_of(rows.sum())


class within(AbstractContextManager[None]):
    """Losses inside go over ``group``, whose processes hold the same rows; may be entered again."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.tokens: list[Token[Group]] = []

    def __enter__(self) -> None:
        self.tokens.append(_current.set(self.group))

    def __exit__(self, *error: object) -> None:
        _current.reset(self.tokens.pop())


def global_batch(
    *rows: str, dim: int = 0, numbers: tuple[str, ...] = (), ring: bool = False
) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Makes a loss with a ``group`` keyword global over its processes.

    Args:
        rows: the arguments that hold one row a sample of this process's batch. A ``temperature`` is
            one where it has a number a row. All other tensors must be alike on every process.
        numbers: the arguments [any, k] whose numbers count this process's rows; below 0 means none.
        ring: whether the loss can do with its own rows, and :func:`row_numbers` and
            :func:`total_of`, so that a :class:`Ring` may be its group.
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
                    index = torch.where(index < 0, index, index + _own(sizes, group).start)
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
            if not ring:
                raise ValueError(
                    f"group: {loss.__name__} does not go round a ring; expected a process group"
                )
            first = next(_tensors(signature.bind(*args, **kwargs).arguments[rows[0]]))
            sizes = sizes_of(len(first), first.device, group.group)
            token = _start.set(_own(sizes, group.group).start)
            try:
                with within(group):
                    return loss(*args, **kwargs)
            finally:
                _start.reset(token)

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


def sizes_of(rows: int, device: torch.device, group: dist.ProcessGroup) -> list[int]:
    """How many rows each process of the group has, given this one's."""
    world = dist.get_world_size(group)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([rows], device=device), group=group)
    return [int(size) for size in sizes]


def _all_gather(x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
    """All processes' rows, one process's after the other's; they may have different numbers."""
    # Collectives want equal shapes: shorter parts are padded to the longest and cut again.
    padded = x.new_zeros(max(sizes), *x.shape[1:])
    padded[: len(x)] = x
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def _own(sizes: list[int], group: dist.ProcessGroup) -> slice:
    rank = dist.get_rank(group)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])


def _gathered(x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
    if x.is_floating_point():
        return _Gather.apply(x, sizes, group)  # type: ignore[no-untyped-call, no-any-return]
    if x.dtype is torch.bool:
        return _all_gather(x.to(torch.uint8), sizes, group).bool()
    return _all_gather(x, sizes, group)


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
        index = value.index + _own(sizes, group).start
        return Listed(_gathered(index, sizes, group), _gathered(value.weight, sizes, group))
    if isinstance(value, Factored | Teacher):
        rows, cols = (_gathered(part, sizes, group) for part in (value.rows, value.cols))
        return replace(value, rows=rows, cols=cols)
    return value


class _Gather(torch.autograd.Function):
    """This process's rows -> all rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own, ctx.world = _own(sizes, group), len(sizes)
        return _all_gather(x.detach(), sizes, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return upstream[ctx.own] * ctx.world, None, None


def _summed(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The sum of all processes' x; theirs are left as they are."""
    total = x.detach().contiguous().clone()
    dist.all_reduce(total, group=group)
    return total


class _Total(torch.autograd.Function):
    """Each one's part -> the sum of all."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return _summed(part, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return _summed(upstream, ctx.group), None


class _Shared(torch.autograd.Function):
    """What all hold alike, into a part of the work that is shared out: gradients add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return _summed(upstream, ctx.group), None


class _Joined(torch.autograd.Function):
    """Shares of rows -> all rows, of which all processes make the same use."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own = _own(sizes, group)
        return _all_gather(x.detach(), sizes, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return upstream[ctx.own].contiguous(), None, None


class _OwnRows(torch.autograd.Function):
    """All samples' losses, view by view -> this process's, for ``reduction="none"``."""

    @staticmethod
    def forward(ctx: Any, losses: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.own, ctx.group, ctx.shape = _own(sizes, group), group, losses.shape
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
