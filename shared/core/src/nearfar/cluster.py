"""k-means, plain and balanced, on the rows' own device; distances are never stored whole."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["balanced_kmeans", "kmeans"]

TILE = 8192


@torch.no_grad()
def kmeans(
    rows: Tensor,
    clusters: int,
    *,
    iterations: int = 25,
    spherical: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Centres [K, D] and assignments [N] by Lloyd's iterations from a k-means++ start.

    Arthur and Vassilvitskii 2007. A centre that loses all rows takes over the row furthest from its
    own. Spherical: rows and centres have unit norm, and cosine decides.

    Args:
        rows: [N, D]. clusters: 1 to N.

    Raises:
        ValueError: not a matrix, or more clusters than rows.

    Example:
        >>> rows = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> _, assignment = kmeans(rows, 2, generator=torch.Generator().manual_seed(0))
        >>> bool(assignment[0] == assignment[1] != assignment[2] == assignment[3])
        True
    """
    x = _checked(rows, clusters, spherical)
    centres = _spread(x, clusters, generator)
    assignment = torch.full((len(x),), -1, device=x.device)
    for _ in range(iterations):
        new, distance = _nearest(x, centres)
        if torch.equal(new, assignment):
            break
        assignment = new
        centres = _centres(x, assignment, distance, clusters, spherical)
    return centres, _nearest(x, centres)[0]


@torch.no_grad()
def balanced_kmeans(
    rows: Tensor,
    clusters: int,
    *,
    iterations: int = 10,
    spherical: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """k-means whose clusters hold N / K rows each, one more or less: as SBCL forms subclasses.

    Each iteration lets rows choose in the order of how much they would lose by their second choice;
    a full centre is no choice.

    Args:
        rows: [N, D], say one class's: distances to all centres are stored. clusters: 1 to N.
    """
    x = _checked(rows, clusters, spherical)
    n = len(x)
    centres, _ = kmeans(rows, clusters, spherical=spherical, generator=generator)
    room = torch.full((clusters,), n // clusters)
    room[: n % clusters] += 1
    assignment = torch.full((n,), -1, device=x.device)
    for _ in range(iterations):
        distance = torch.cdist(x, centres).square()  # n x clusters
        new = _fill(distance, room)
        if torch.equal(new, assignment):
            break
        assignment = new
        centres = _centres(x, assignment, distance.gather(1, new[:, None])[:, 0], clusters,
                           spherical)  # fmt: skip
    return centres, assignment


def _checked(rows: Tensor, clusters: int, spherical: bool) -> Tensor:
    if rows.ndim != 2 or not 1 <= clusters <= len(rows):
        raise ValueError(
            f"rows {tuple(rows.shape)}, clusters {clusters}; expected [N, D] and from 1 to N"
        )
    x = rows.detach().to(torch.promote_types(rows.dtype, torch.float32))
    return torch.nn.functional.normalize(x, dim=1) if spherical else x


def _spread(x: Tensor, clusters: int, generator: torch.Generator | None) -> Tensor:
    """k-means++: each next centre is a row drawn by its squared distance to those there are."""
    first = int(torch.randint(len(x), (), generator=generator))
    chosen = [first]
    distance = (x - x[first]).square().sum(1)
    for _ in range(clusters - 1):
        weights = distance.cpu()
        if not float(weights.sum()) > 0:  # fewer different rows than clusters
            weights = torch.ones(len(x))
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(1))
    return x[chosen]


def _nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's centre [N] and squared distance [N]."""
    norms = centres.square().sum(1)
    indices, distances = [], []
    for part in torch.split(x, TILE):
        d, at = (norms - 2 * part @ centres.T).min(1)
        indices.append(at)
        distances.append((d + part.square().sum(1)).clamp(min=0))
    return torch.cat(indices), torch.cat(distances)


def _centres(
    x: Tensor, assignment: Tensor, distance: Tensor, clusters: int, spherical: bool
) -> Tensor:
    size = torch.bincount(assignment, minlength=clusters)
    total = x.new_zeros(clusters, x.shape[1]).index_add(0, assignment, x)
    centres = total / size.clamp(min=1)[:, None]
    empty = (size == 0).nonzero()[:, 0]
    if len(empty):
        centres[empty] = x[distance.topk(len(empty)).indices]
    return torch.nn.functional.normalize(centres, dim=1) if spherical else centres


def _fill(distance: Tensor, room: Tensor) -> Tensor:
    """Rows to centres with room, those first that lose most by their second choice."""
    distance, room = distance.cpu(), room.clone()
    assignment = torch.full((len(distance),), -1)
    open_rows = torch.arange(len(distance))
    while len(open_rows):
        free = (room > 0).nonzero()[:, 0]
        d = distance[open_rows][:, free]
        if len(free) == 1:
            assignment[open_rows] = free[0]
            break
        two = d.topk(2, largest=False)
        wish = free[two.indices[:, 0]]
        loss = two.values[:, 1] - two.values[:, 0]
        order = loss.argsort(descending=True, stable=True)
        for centre in free.tolist():
            mine = order[wish[order] == centre][: int(room[centre])]
            assignment[open_rows[mine]] = centre
            room[centre] -= len(mine)
        open_rows = (assignment < 0).nonzero()[:, 0]
    return assignment
