"""What a loss asks about the whole batch, of which a process may hold only its own rows.

A loss is written once. With one process, or with all rows gathered, the answers are at hand; in a
:class:`Ring` they are put together here from what each process has.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nearfar.collectives import all_gather, own_of, sizes_of, summed
from nearfar.scope import Scope

__all__ = [
    "Group",
    "Ring",
    "again",
    "all_of_ring",
    "at_hand",
    "codes_of",
    "count_of",
    "current",
    "keys_of_ring",
    "leads_batch",
    "lse_of",
    "ring_now",
    "row_numbers",
    "size_of",
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

# The group, and how many of the batch's rows come before this process's first.
_here: ContextVar[tuple[Group, int]] = ContextVar("batch", default=(None, 0))


def within(group: Group, first: int = 0) -> AbstractContextManager[None]:
    """Losses inside go over ``group``, of whose rows this process's begin at ``first``."""
    return Scope(_here, (group, first))


def again() -> AbstractContextManager[None]:
    """The batch of now, for what a backward pass will compute once more."""
    return Scope(_here, _here.get())


def at_hand() -> AbstractContextManager[None]:
    """Inside, keys do not go round a ring: every process has them all (prototypes, a queue)."""
    group, first = _here.get()
    return within(None, first) if isinstance(group, Ring) else nullcontext()


def current() -> Group:
    """The group or ring over which the loss that is being computed goes, or None."""
    return _here.get()[0]


def ring_now() -> dist.ProcessGroup | None:
    """The processes round which keys go, or None."""
    group = current()
    return group.group if isinstance(group, Ring) else None


def row_numbers(rows: Tensor) -> Tensor:
    """The number of each row in the whole batch: [N]."""
    return torch.arange(len(rows), device=rows.device) + _here.get()[1]


def leads_batch() -> bool:
    """Whether this process's rows are the first of the batch: of several processes one's are."""
    return _here.get()[1] == 0


def total_of(part: Tensor) -> Tensor:
    """The sum over a ring's processes of what each has; itself where there is no ring.

    The gradient to each part is the sum of all processes' upstreams. Of a loss, which all have
    alike, that is the number of processes, and DDP's mean divides it out.
    """
    ring = ring_now()
    if ring is None:
        return part
    return _Total.apply(part, ring)  # type: ignore[no-untyped-call, no-any-return]


def size_of(rows: Tensor) -> int:
    """How many rows all processes have; of one's own [N, ...]."""
    ring = ring_now()
    return len(rows) if ring is None else sum(sizes_of(len(rows), rows.device, ring))


def count_of(rows: Tensor) -> Tensor:
    """How many of all processes' rows [N] are true: []."""
    return total_of(rows.sum())


def lse_of(scores: Tensor) -> Tensor:
    """The log-sum-exp of all processes' [N]: []."""
    if ring_now() is None:
        return scores.logsumexp(0)
    own = scores.detach().amax(0, keepdim=True) if len(scores) else scores.new_zeros(1)
    top = all_of_ring(own).amax()
    return total_of((scores - top).exp().sum()).log() + top


def all_of_ring(rows: Tensor) -> Tensor:
    """All processes' rows [any, ...], without gradient; these where there is no ring."""
    ring = ring_now()
    if ring is None:
        return rows
    return all_gather(rows, sizes_of(len(rows), rows.device, ring), ring)


def keys_of_ring(rows: Tensor) -> Tensor:
    """All processes' rows [N, ...], with gradient, for what is not linear in the batch anyway."""
    ring = ring_now()
    if ring is None:
        return rows
    return _Keys.apply(rows, ring)  # type: ignore[no-untyped-call, no-any-return]


def codes_of(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels [N] or [N, k], any numbers -> own codes [N], counted from 0, and each one's size [K].

    A code says the same on every process, and its size is that in the whole batch.
    """
    everyone = all_of_ring(labels)
    # Rows are compared a hundred times as slowly as numbers.
    dim = None if everyone.ndim == 1 else 0
    _, codes, sizes = torch.unique(everyone, return_inverse=True, return_counts=True, dim=dim)
    first = 0 if ring_now() is None else _here.get()[1]
    return codes[first : first + len(labels)], sizes


class _Total(torch.autograd.Function):
    """Each one's part -> the sum of all."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return summed(part, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return summed(upstream, ctx.group), None


class _Keys(torch.autograd.Function):
    """Each one's rows -> all rows, of which each process makes a use of its own."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: dist.ProcessGroup) -> Tensor:
        sizes = sizes_of(len(rows), rows.device, group)
        ctx.group, ctx.own = group, own_of(sizes, group)
        return all_gather(rows, sizes, group)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return summed(upstream, ctx.group)[ctx.own], None
