"""What processes exchange: how many rows each has, all rows, sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Round", "all_gather", "own_of", "sizes_of", "summed"]


def sizes_of(rows: int, device: torch.device, group: dist.ProcessGroup) -> list[int]:
    """How many rows each process of the group has, given this one's."""
    world = dist.get_world_size(group)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world)]
    dist.all_gather(sizes, torch.tensor([rows], device=device), group=group)
    return [int(size) for size in sizes]


def all_gather(x: Tensor, sizes: list[int], group: dist.ProcessGroup) -> Tensor:
    """All processes' rows, one process's after the other's; they may have different numbers."""
    # Collectives want equal shapes: shorter parts are padded to the longest and cut again.
    padded = x.new_zeros(max(sizes), *x.shape[1:])
    padded[: len(x)] = x.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded, group=group)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


def own_of(sizes: list[int], group: dist.ProcessGroup) -> slice:
    """Where this process's rows are among all."""
    rank = dist.get_rank(group)
    start = sum(sizes[:rank])
    return slice(start, start + sizes[rank])


def summed(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The sum of all processes' x; theirs are left as they are."""
    total = x.detach().contiguous().clone()
    dist.all_reduce(total, group=group)
    return total


class Round:
    """What belongs to keys that go round the processes: each begins with its own, and meets all.

    ``for part, ... in Round([part, ...], group)`` gives the parts of one process's keys after the
    other's. What is written to them travels on with them.

    Args:
        parts: tensors [M, ...] of this process's keys.
        group: None for one process alone.
        home: whether they go on to where they came from, where :meth:`here` has them at the end.
    """

    def __init__(
        self, parts: Sequence[Tensor], group: dist.ProcessGroup | None, *, home: bool = False
    ) -> None:
        self.group, self.home = group, home
        self.rank, self.sizes = 0, [len(parts[0])]
        if group is not None:
            self.rank = dist.get_rank(group)
            self.sizes = sizes_of(len(parts[0]), parts[0].device, group)
        self.owner = self.rank
        self.padded = [self._padded(part) for part in parts]

    def _padded(self, part: Tensor) -> Tensor:
        """As long as the longest process's: those that meet halfway must agree on a size."""
        whole = part.new_zeros(max(self.sizes), *part.shape[1:])
        whole[: len(part)] = part.detach()
        return whole

    def here(self) -> list[Tensor]:
        """The parts of the keys that are here now."""
        return [part[: self.sizes[self.owner]] for part in self.padded]

    @property
    def at_home(self) -> bool:
        """Whether the keys that are here are this process's own."""
        return self.owner == self.rank

    def __iter__(self) -> Iterator[list[Tensor]]:
        world = len(self.sizes)
        for step in range(world):
            yield self.here()
            if world > 1 and (self.home or step < world - 1):
                self._pass_on()

    def _pass_on(self) -> None:
        """To the next process, and in from the one before."""
        assert self.group is not None
        world = len(self.sizes)
        after = dist.get_global_rank(self.group, (self.rank + 1) % world)
        before = dist.get_global_rank(self.group, (self.rank - 1) % world)
        incoming = [torch.empty_like(t) for t in self.padded]
        calls = []
        for tag, (out, into) in enumerate(zip(self.padded, incoming, strict=True)):
            calls.append(dist.P2POp(dist.isend, out, after, self.group, tag))
            calls.append(dist.P2POp(dist.irecv, into, before, self.group, tag))
        for request in dist.batch_isend_irecv(calls):
            request.wait()
        self.padded = incoming
        self.owner = (self.owner - 1) % world
